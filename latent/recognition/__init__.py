"""Listening: recognizers of any kind, transcripts and the files that they are written to."""
