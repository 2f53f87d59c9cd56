"""Cuts texts into pieces: at the end of sentences, else of clauses, else of words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from s2s.data.sentences import sentence_ends

_CLAUSE_END = re.compile(r"(?<=[,;:–—])\s+|(?<=[，、；])")
_SPACE = re.compile(r"\s+(?![^\[\]]*\]\])")  # not inside [[a pronunciation]]

Fits = Callable[[str], bool]
"""Whether a text is short enough to be spoken at once."""

Ends = Callable[[str], Iterator[int]]
"""Places where a text may be cut."""


def split_text(text: str, fits: Fits) -> list[str]:
    """A text in pieces that fit, cut where it hurts least; joined they are the text.

    "One. Two, three." is "One.", "Two, three." where 11 characters fit, and "One.", "Two,", "three." where 9 do.
    """
    return _split(_SPACE.sub(" ", text.strip()), fits, [sentence_ends, _ends_of(_CLAUSE_END), _ends_of(_SPACE)])


def _ends_of(pattern: re.Pattern[str]) -> Ends:
    return lambda text: (match.end() for match in pattern.finditer(text))


def _split(text: str, fits: Fits, boundaries: list[Ends]) -> list[str]:
    if len(text) <= 1 or fits(text):
        return [text]
    if not boundaries:
        half = len(text) // 2
        return [*_split(text[:half], fits, []), *_split(text[half:], fits, [])]
    pieces: list[str] = []
    start = end = 0  # text[start:end] is the piece that is being filled
    for stop in [*boundaries[0](text), len(text)]:
        if end > start and not fits(text[start:stop].strip()):
            pieces.append(text[start:end].strip())
            start = end
        end = stop
    pieces.append(text[start:end].strip())
    return [short for piece in pieces if piece for short in _split(piece, fits, boundaries[1:])]
