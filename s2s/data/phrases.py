"""Phrases that the output of a record must contain, its field `constraints`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from s2s.data.corpus import Side
from s2s.data.jsonl import as_text
from s2s.data.tokenizer import Tokenizer
from s2s.errors import InputError
from s2s.json_files import describe

FIELD = "constraints"
_SIDE = Side("constraint", limit=100_000)


class Phrase(NamedTuple):
    """A phrase: its text, for messages, and its ids."""

    text: str
    tokens: list[int]


def phrases_of(record: Mapping[str, Any], where: str, tokenizer: Tokenizer) -> list[Phrase]:
    """The phrases of a record, none if it lacks the field.

    Raises:
        InputError: they are no list of texts or of lists of vocabulary items; or one is empty, or holds a special token
            or one that the vocabulary lacks.
    """
    given = record.get(FIELD)
    if given is None:
        return []
    if not isinstance(given, list):
        raise InputError(f"{where}: {FIELD!r} must be a list of texts, found {describe(given)}")
    texts = [as_text(text, FIELD, where) for text in given]
    found = _SIDE.encode(texts, FIELD, [where] * len(texts), tokenizer)
    named = (text if isinstance(text, str) else " ".join(text) for text in texts)
    phrases = [Phrase(*pair) for pair in zip(named, found, strict=True)]
    for phrase in phrases:
        if tokenizer.unknown in phrase.tokens:
            raise InputError(f"{where}: {FIELD!r} asks for {phrase.text!r}, which the vocabulary cannot write")
    return phrases
