"""Side channels of source tokens: where the answer stands, how a word is capitalized, and tags from the record.

Each channel gives a piece of the source one tag, a number from 1 on; 0 is for special tokens and for outputs. A piece
takes the tag of the word that it is part of; a word ends at a blank. Source: Zhou et al. 2017 (arXiv 1704.01792).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from pydantic import Field

from s2s.config import Section
from s2s.data.fields import TextField, value_at
from s2s.data.tokenizer import Tokenizer
from s2s.errors import ConfigError, InputError
from s2s.json_files import describe

ANSWER, CASE = "answer", "case"
_WORD = re.compile(r"\S+")


@dataclass(frozen=True)
class Pieces:
    """The pieces of a text.

    Args:
        text: The text; a list of items is joined by blanks.
        spans: Where each piece begins and ends, in characters.
    """

    text: str
    spans: Sequence[tuple[int, int]]

    @classmethod
    def of(cls, text: str | list[str], tokenizer: Tokenizer, most: int | None = None) -> Pieces:
        """The pieces of a text, or of its first `most` characters; each item of a list is one."""
        if isinstance(text, str):
            return cls(text, tokenizer.spans(text[:most]))
        ends, spans = 0, []
        for item in text[:most]:
            spans.append((ends, ends + len(item)))
            ends += len(item) + 1
        return cls(" ".join(text), spans)

    @cached_property
    def words(self) -> list[tuple[int, int]]:
        """Where each word begins and ends."""
        return [match.span() for match in _WORD.finditer(self.text)]

    @cached_property
    def word_numbers(self) -> list[int]:
        """The word that each piece is part of, or the next one; for a piece after the last word, that."""
        ends = [end for _, end in self.words]
        return [min(bisect_right(ends, self._first(*span)), len(ends) - 1) for span in self.spans]

    def _first(self, start: int, end: int) -> int:
        """The first character of a piece that is no blank, since some tokenizers count the blank before a word."""
        part = self.text[start:end]
        return start + len(part) - len(part.lstrip()) if part.strip() else start


class Channel(Protocol):
    """One side channel."""

    @property
    def name(self) -> str:
        """Its name in options."""

    @property
    def tags(self) -> Sequence[str]:
        """What the numbers from 1 on stand for."""

    def of(self, pieces: Pieces, field: TextField, record: Mapping[str, Any], where: str) -> list[int]:
        """The tag of each piece of the source, which is in a field of a record; InputError if the record is bad."""


@dataclass(frozen=True)
class AnswerPosition:
    """B for the first piece of the answer, I for the others of it, O outside.

    Args:
        text_field: Field of the answer.
        start_field: Field of the place in the source where it begins, in characters.
    """

    text_field: str
    start_field: str
    name: str = ANSWER
    tags: Sequence[str] = ("B", "I", "O")

    def of(self, pieces: Pieces, field: TextField, record: Mapping[str, Any], where: str) -> list[int]:
        """See `Channel`; the answer must stand where the record says."""
        if len(field.paths) > 1 or field.written.strip() not in (field.paths[0], f"{{{field.paths[0]}}}"):
            raise InputError(
                f"{where}: the feature 'answer' needs a source that is one field, as by "
                f"task.source_template={{context}}, found {field.written!r}"
            )
        answer = TextField(self.text_field, "task.features.answer_field names another field").text(record, where)
        start = value_at(record, self.start_field, where, "task.features.answer_start_field names another field")
        if not isinstance(start, int) or isinstance(start, bool):
            raise InputError(f"{where}: {self.start_field!r} must be a whole number, found {describe(start)}")
        answer = answer if isinstance(answer, str) else " ".join(answer)
        end = start + len(answer)
        if start < 0 or pieces.text[start:end] != answer:
            there = pieces.text[max(0, start) : max(0, end)][:40]
            raise InputError(
                f"{where}: {self.start_field!r} is {start}, where the source has {there!r}, not the answer "
                f"{answer[:40]!r}"
            )
        inside = [begin < end and stop > start for begin, stop in pieces.spans]
        first = inside.index(True) if any(inside) else -1
        return [1 if number == first else 2 if within else 3 for number, within in enumerate(inside)]


@dataclass(frozen=True)
class Case:
    """How a word is capitalized: not, its first letter, or all of at least two."""

    name: str = CASE
    tags: Sequence[str] = ("lower", "title", "upper")

    def of(self, pieces: Pieces, field: TextField, record: Mapping[str, Any], where: str) -> list[int]:
        """See `Channel`."""
        kinds = [_case(pieces.text[start:end]) for start, end in pieces.words]
        return [kinds[number] for number in pieces.word_numbers]


def _case(word: str) -> int:
    letters = "".join(filter(str.isalpha, word))
    if len(letters) > 1 and letters.isupper():
        return 3
    return 2 if letters[:1].isupper() else 1


@dataclass(frozen=True)
class Column:
    """Tags in a field of the record, one for each word of the source: a list, or a string with blanks between them."""

    name: str
    tags: Sequence[str]

    def of(self, pieces: Pieces, field: TextField, record: Mapping[str, Any], where: str) -> list[int]:
        """See `Channel`; there must be a tag for each word, and the options must name it."""
        given = value_at(record, self.name, where, "task.features.names has it")
        tags = given.split() if isinstance(given, str) else given
        if not isinstance(tags, list):
            raise InputError(f"{where}: {self.name!r} must be a list of tags or a string, found {describe(given)}")
        if len(tags) != len(pieces.words):
            raise InputError(
                f"{where}: {self.name!r} has {len(tags)} tags for the {len(pieces.words)} words of {field.written!r}"
            )
        for number, tag in enumerate(tags, start=1):
            if tag not in self.tags:
                known = ", ".join(self.tags[:8]) + (", ..." if len(self.tags) > 8 else "")
                raise InputError(
                    f"{where}: {self.name!r} has the unknown tag {tag!r} for word {number}; "
                    f"task.features.tags.{self.name} has {known}"
                )
        numbers = {tag: number for number, tag in enumerate(self.tags, start=1)}
        return [numbers[tags[word]] for word in pieces.word_numbers]


class FeatureOptions(Section):
    """Features of source tokens, which the model reads beside the words."""

    names: list[str] = Field(min_length=1)
    """answer (where it stands), case, or fields of a record with a tag for each word, such as pos and ner."""
    tags: dict[str, list[str]] = Field(default_factory=dict)
    """The tags of each feature that is a field."""
    answer_field: str = "answers.text.0"
    """Field that holds the answer."""
    answer_start_field: str = "answers.answer_start.0"
    """Field that says where in the source the answer begins, in characters."""


def channels_of(options: FeatureOptions | None) -> tuple[Channel, ...]:
    """The channels that options name.

    Raises:
        ConfigError: a name comes twice; `tags` lacks those of a field, or has some that no channel uses.
    """
    if options is None:
        return ()
    names, tags = options.names, options.tags
    computed: dict[str, Channel] = {
        ANSWER: AnswerPosition(options.answer_field, options.answer_start_field),
        CASE: Case(),
    }
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"task.features.names: has {name!r} twice")
        if name not in computed and not tags.get(name):
            raise ConfigError(f"task.features.tags: must list the tags of {name!r}; only answer and case need none")
    for name, listed in tags.items():
        if name not in names or name in computed:
            raise ConfigError(f"task.features.tags: {name!r} is no field in task.features.names")
        if len(set(listed)) < len(listed):
            raise ConfigError(f"task.features.tags.{name}: has a tag twice")
    return tuple(computed.get(name) or Column(name, tuple(tags[name])) for name in names)
