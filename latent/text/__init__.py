"""Text as a speech model reads it: what is said is made plain, then cut into tokens by a front end."""
