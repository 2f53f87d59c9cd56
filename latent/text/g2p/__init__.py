"""Pronunciations of words that a dictionary lacks, from what it teaches: grapheme to phoneme (G2P)."""
