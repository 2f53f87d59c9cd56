"""Searches over a model's next-token distributions."""
