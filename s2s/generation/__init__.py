"""Decoding files: streaming in bounded memory, in the input's order, resumable after being killed at any instant."""
