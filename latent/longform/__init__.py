"""Scripts of many lines and speakers, spoken hours long into one file that a kill leaves fit to be continued."""
