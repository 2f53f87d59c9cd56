"""Where a text may be cut: at the end of sentences, else of clauses, else of words."""

from __future__ import annotations

import re
from collections.abc import Callable

_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？])")
_CLAUSE_END = re.compile(r"(?<=[,;:–—])\s+|(?<=[，、；])")
_SPACE = re.compile(r"\s+")

Fits = Callable[[str], bool]
"""Whether a text is short enough to be said at once."""


def split_text(text: str, fits: Fits) -> list[str]:
    """A text in pieces that fit, cut where it hurts least; joined they are the text.

    "One. Two, three." is "One.", "Two, three." where 11 characters fit, and "One.", "Two,", "three." where 9 do.
    """
    return _split(_SPACE.sub(" ", text.strip()), fits, [_SENTENCE_END, _CLAUSE_END, _SPACE])


def _split(text: str, fits: Fits, boundaries: list[re.Pattern[str]]) -> list[str]:
    if len(text) <= 1 or fits(text):
        return [text]
    if not boundaries:
        half = len(text) // 2
        return [*_split(text[:half], fits, []), *_split(text[half:], fits, [])]
    pieces: list[str] = []
    start = end = 0  # text[start:end] is the piece that is being filled
    for stop in [*(match.end() for match in boundaries[0].finditer(text)), len(text)]:
        if end > start and not fits(text[start:stop].strip()):
            pieces.append(text[start:end].strip())
            start = end
        end = stop
    pieces.append(text[start:end].strip())
    return [short for piece in pieces if piece for short in _split(piece, fits, boundaries[1:])]
