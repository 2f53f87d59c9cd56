"""Aligners: when each unit of a text sounds in its recording."""
