"""The lead baseline: the beginning of the source as the output, the score that any trained system should pass."""

from __future__ import annotations

from eval.words import first_tokens, split_sentences


def lead(source: str, sentences: int, words: int) -> str:
    """The first sentences of the source, cut after `words` words (0: not cut), one a line.

    In a script without blanks every character counts as a word.

    >>> lead("A fast editor. It has tabs.", sentences=1, words=2)
    'A fast'
    """
    kept = split_sentences(source)[:sentences]
    return first_tokens(" ".join(" ".join(kept).split()), words) if words else "\n".join(kept)
