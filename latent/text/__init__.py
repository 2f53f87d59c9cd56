"""Text as a speech model reads it: normalized to plain words, then cut into tokens by a front end."""
