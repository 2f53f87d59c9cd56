"""Synthesizers that read texts aloud, so that a voice has something to learn from."""
