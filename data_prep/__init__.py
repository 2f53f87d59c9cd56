"""Corpora to training files: `unilatent prepare`."""
