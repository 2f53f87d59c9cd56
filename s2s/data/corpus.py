"""Source-target pairs of a corpus, tokenized once and kept in flat arrays, so that millions of pairs fit in memory."""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2s.data.copying import Extension
from s2s.data.fields import Fields, TextField
from s2s.data.records import Records
from s2s.data.token_features import Channel, Pieces
from s2s.data.tokenizer import Tokenizer
from s2s.errors import InputError

logger = logging.getLogger(__name__)

_CHUNK = 2048
"""Records tokenized at a time, which keeps all cores busy and memory small."""
_CHARACTERS_A_TOKEN = 1000
"""Only this many characters for each token that is kept are tokenized: a tokenizer needs 200 times their memory."""


@dataclass(frozen=True)
class Side:
    """One text of a record: how long it may be, and what it may hold.

    Args:
        name: "source", "target", "prefix" or "constraint"; `task.max_<name>` is the option that limits the first two.
        limit: Maximum number of tokens without special tokens.
        strict: Refuse what is longer, and listed tokens that the vocabulary lacks, instead of cutting and replacing.
    """

    name: str
    limit: int
    strict: bool = False
    _noticed: set[str] = dataclasses.field(default_factory=set, compare=False)

    @property
    def most_characters(self) -> int:
        """Characters of a text that are tokenized."""
        return _CHARACTERS_A_TOKEN * (self.limit + 1)

    def encode(
        self, texts: Sequence[str | list[str]], field: str, places: Sequence[str], tokenizer: Tokenizer
    ) -> list[list[int]]:
        """Ids of some texts, not cut.

        Special tokens in a text are plain text, unless `task.added_tokens` names them. A source may list them.

        Args:
            texts: Texts, or lists of vocabulary items.
            field: The field that holds them, for messages.
            places: The file and line of each, for messages.

        Raises:
            InputError: a text holds no token, or a special token that is not allowed; under `strict` also if it is too
                long or lists an unknown token.
        """
        most = self.most_characters
        encoded = tokenizer.encode_many([text[:most] for text in texts])
        for text, ids, where in zip(texts, encoded, places, strict=True):
            named = f"{where}: {field!r}"
            if not ids:
                raise InputError(f"{named} holds no token (only blanks or control characters)")
            if self.strict:
                self._refuse(text, ids, most, named, tokenizer)
            self._check_special(text, ids, named, tokenizer)
        return encoded

    def _refuse(self, text: str | list[str], ids: list[int], most: int, named: str, tokenizer: Tokenizer) -> None:
        if len(ids) > self.limit or len(text) > most:
            fits = len(text) <= most
            found = f"{len(ids)} tokens, at most {self.limit}" if fits else f"{len(text)} characters, at most {most}"
            raise InputError(
                f"{named} has {found} are allowed; raise task.max_{self.name}, or set task.strict=false to cut it"
            )
        if isinstance(text, list) and tokenizer.unknown in ids:
            token = text[ids.index(tokenizer.unknown)]
            raise InputError(f"{named} lists {token!r}, which is not in the vocabulary")

    def _check_special(self, text: str | list[str], ids: list[int], named: str, tokenizer: Tokenizer) -> None:
        may_hold = tokenizer.reserved if isinstance(text, list) else tokenizer.kept
        refused = tokenizer.reserved.intersection(ids) - (may_hold if self.name == "source" else set())
        if refused:
            (token,) = tokenizer.tokens([min(refused)])
            raise InputError(f"{named} holds {token!r}, a special token; a {self.name} must not hold it")
        if isinstance(text, str) and self.name == "constraint":
            for token in tokenizer.tokens(sorted(tokenizer.reserved - tokenizer.kept)):
                if token in text:
                    raise InputError(f"{named} holds {token!r}, a special token; a constraint must not hold it")
        if isinstance(text, str) and (written := tokenizer.special_in(text)) and written not in self._noticed:
            self._noticed.add(written)
            logger.warning(
                "%s holds %s, which is read as plain text; task.added_tokens=[%s] would keep it a special token",
                *(named, written, json.dumps(written)),
            )


class Ragged:
    """A growing list of integer arrays, kept in one flat array of a `typecode` of the module `array`."""

    def __init__(self, typecode: str) -> None:
        self._values = array(typecode)
        self._ends = array("q", [0])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> NDArray[Any]:
        return np.array(self._values[self._ends[index] : self._ends[index + 1]])

    def extend(self, rows: Iterable[Iterable[int]]) -> None:
        """Append rows."""
        for row in rows:
            self._values.extend(row)
            self._ends.append(len(self._values))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Length of each row, `(N,)`."""
        ends = np.frombuffer(self._ends, np.int64)
        return ends[1:] - ends[:-1]


@dataclass(frozen=True)
class Corpus:
    """Tokenized pairs, by index: ids without special tokens, and the UTF-8 bytes of the record ids."""

    sources: Ragged
    targets: Ragged
    names: Ragged
    num_cut: tuple[int, int] = (0, 0)
    """Sources and targets that lost their end."""
    tags: Sequence[Ragged] = ()
    """Features of the sources, one table a channel."""

    def __len__(self) -> int:
        return len(self.sources)

    def id(self, index: int) -> str:
        """The record's id; its file and line if it has none."""
        return self.names[index].tobytes().decode("utf-8")

    @classmethod
    def read(
        cls,
        inputs: Iterable[tuple[Records, Fields]],
        tokenizer: Tokenizer,
        sides: tuple[Side, Side],
        id_field: str,
        channels: Sequence[Channel] = (),
        extended: bool = False,
    ) -> Corpus:
        """Read and tokenize all records of some inputs, in their order.

        Sides longer than their limits lose their end; one warning per input counts them.

        Args:
            inputs: From `open_records`, each with the fields of source and target; its first record decides which of
                the known ones they are.
            sides: The source and the target.
            channels: Features of the source.
            extended: Keep unknown words of sources as extended ids, see `s2s.data.copying`.

        Raises:
            InputError: an input is missing or empty, or one of its records is bad.
        """
        columns, names, num_cut = (Ragged("i"), Ragged("i")), Ragged("B"), [0, 0]
        tags = [Ragged("i") for _ in channels]
        for records, fields in inputs:
            chosen, pairs = pairs_of(records, fields)
            losses = [_Losses(side, tokenizer.unknown) for side in sides]
            while chunk := list(itertools.islice(pairs, _CHUNK)):
                places, found, *texts = zip(*chunk, strict=True)
                rows = []
                for side, text_field, lost, side_texts in zip(sides, chosen, losses, texts, strict=True):
                    encoded = side.encode(side_texts, text_field.written, places, tokenizer)
                    lost.count(side_texts, encoded)
                    rows.append([row[: side.limit] for row in encoded])
                if extended:
                    rows = [list(side) for side in zip(*map(_extender(tokenizer), *texts, *rows), strict=True)]
                for column, kept in zip(columns, rows, strict=True):
                    column.extend(kept)
                for place, record, text in zip(places, found, texts[0], strict=True) if channels else ():
                    made = tags_of(record, chosen[0], text, place, tokenizer, sides[0], channels)
                    for table, row in zip(tags, made, strict=True):
                        table.extend([row])
                names.extend(id_of(*item, id_field).encode("utf-8") for item in zip(found, places, strict=True))
            for number, lost in enumerate(losses):
                lost.warn(records.name)
                num_cut[number] += lost.num_cut
        return cls(*columns, names, (num_cut[0], num_cut[1]), tags)


def _extender(tokenizer: Tokenizer) -> Callable[..., tuple[list[int], list[int]]]:
    """From the texts and ids of a source and a target to their extended ids."""

    def extend(
        source: str | list[str], target: str | list[str], source_ids: list[int], target_ids: list[int]
    ) -> tuple[list[int], list[int]]:
        extension = Extension(source, source_ids, tokenizer)
        return extension.extend(source, source_ids), extension.extend(target, target_ids)

    return extend


def tags_of(
    record: Mapping[str, Any],
    field: TextField,
    text: str | list[str],
    where: str,
    tokenizer: Tokenizer,
    side: Side,
    channels: Sequence[Channel],
) -> list[list[int]]:
    """The features of a source, which is in a field of a record: one list a channel, of the pieces that are kept."""
    pieces = Pieces.of(text, tokenizer, side.most_characters)
    return [channel.of(pieces, field, record, where)[: side.limit] for channel in channels]


def pairs_of(
    records: Records, fields: Fields
) -> tuple[tuple[TextField, TextField], Iterator[tuple[str, dict[str, Any], str | list[str], str | list[str]]]]:
    """The fields of source and target, which the first record decides; and `(where, record, source, target)` of all.

    Raises:
        InputError: there is no record; by the iterator, one of them is bad.
    """
    left = iter(records)
    first = next(left)
    source, target = fields.of(first[1], first[0])
    every = itertools.chain([first], left)
    return (source, target), (
        (where, record, source.text(record, where), target.text(record, where)) for where, record in every
    )


def id_of(record: dict[str, Any], where: str, field: str) -> str:
    """The id of a record; its place if it has none."""
    id = record.get(field)
    return where if id is None else str(id)


class _Losses:
    """Counts what was lost in one side of a file."""

    def __init__(self, side: Side, unknown: int | None) -> None:
        self._side, self._unknown_id = side, unknown
        self._texts = self.num_cut = self._listed = self._unknown = 0

    def count(self, texts: Sequence[str | list[str]], encoded: list[list[int]]) -> None:
        self._texts += len(texts)
        self.num_cut += sum(len(ids) > self._side.limit for ids in encoded)
        listed = [id for text, ids in zip(texts, encoded, strict=True) if isinstance(text, list) for id in ids]
        self._listed += len(listed)
        self._unknown += 0 if self._unknown_id is None else listed.count(self._unknown_id)

    def warn(self, path: str) -> None:
        name = self._side.name
        if self.num_cut:
            logger.warning(
                "%s: %d of %d %ss were cut at %d tokens, special ones not counted; task.max_%s sets the limit",
                *(path, self.num_cut, self._texts, name, self._side.limit, name),
            )
        if self._unknown:
            logger.warning(
                "%s: %d of %d tokens listed in %ss are not in the vocabulary; lists must hold its items, not words",
                *(path, self._unknown, self._listed, name),
            )
