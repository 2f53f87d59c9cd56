"""Building blocks of the models: masks, positions, attention, caches. No configuration and no files."""
