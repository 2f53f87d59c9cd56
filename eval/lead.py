"""The lead baseline: the beginning of the source as the output, the score that any trained system should pass."""

from __future__ import annotations

from eval.words import split_sentences


def lead(source: str, sentences: int, words: int) -> str:
    """The first sentences of the source, cut after so many words (0: not cut), one a line.

    >>> lead("A fast editor. It has tabs.", sentences=1, words=2)
    'A fast'
    """
    kept = "\n".join(split_sentences(source)[:sentences])
    return " ".join(kept.split()[:words]) if words else kept
