"""Source-target pairs of a corpus, tokenized once and kept in flat arrays, so that millions of pairs fit in memory."""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2s.data.jsonl import read_records, suffix_of, text_field
from s2s.data.tables import FORMATS, read_table
from s2s.data.tokenizer import Tokenizer
from s2s.errors import InputError

logger = logging.getLogger(__name__)

_DATASETS = {".parquet": "parquet", ".arrow": "arrow"}
_CHUNK = 2048
"""Records tokenized at a time, which keeps all cores busy and memory small."""


_CHARACTERS_A_TOKEN = 1000
"""Only this many characters for each token that is kept are tokenized: a tokenizer needs 200 times their memory."""


@dataclass(frozen=True)
class Side:
    """One text of a record: what it may hold, and how long it may be.

    Args:
        name: "source", "target" or "prefix"; `task.max_<name>` is the option that limits the first two.
        field: The field of a record.
        limit: Most tokens, special tokens not counted.
        strict: Refuse what is longer, and listed tokens that the vocabulary lacks, instead of cutting and replacing.
    """

    name: str
    field: str
    limit: int
    strict: bool = False
    _noticed: set[str] = dataclasses.field(default_factory=set, compare=False)

    def encode(self, texts: Sequence[str | list[str]], places: Sequence[str], tokenizer: Tokenizer) -> list[list[int]]:
        """Ids of some texts; `places` names the file and line of each. A text may come back longer than the limit.

        Special tokens in a text are plain text, unless `task.added_tokens` names them. A source may list them.

        Raises:
            InputError: a text holds no token, or special tokens where there may be none; under `strict` also when it is
                too long or lists an unknown token.
        """
        most = _CHARACTERS_A_TOKEN * (self.limit + 1)
        encoded = tokenizer.encode_many([text[:most] for text in texts])
        for text, ids, where in zip(texts, encoded, places, strict=True):
            if not ids:
                raise InputError(f"{where}: {self.field!r} holds no token (only blanks or control characters)")
            if self.strict:
                self._refuse(text, ids, most, where, tokenizer)
            self._check_special(text, ids, where, tokenizer)
        return encoded

    def _refuse(self, text: str | list[str], ids: list[int], most: int, where: str, tokenizer: Tokenizer) -> None:
        if len(ids) > self.limit or len(text) > most:
            fits = len(text) <= most
            found = f"{len(ids)} tokens, at most {self.limit}" if fits else f"{len(text)} characters, at most {most}"
            raise InputError(
                f"{where}: {self.field!r} has {found} are allowed; "
                f"raise task.max_{self.name}, or set task.strict=false to cut it"
            )
        if isinstance(text, list) and tokenizer.unknown in ids:
            token = text[ids.index(tokenizer.unknown)]
            raise InputError(f"{where}: {self.field!r} lists {token!r}, which is not in the vocabulary")

    def _check_special(self, text: str | list[str], ids: list[int], where: str, tokenizer: Tokenizer) -> None:
        may_hold = tokenizer.reserved if isinstance(text, list) else tokenizer.kept
        refused = tokenizer.reserved.intersection(ids) - (may_hold if self.name == "source" else set())
        if refused:
            (token,) = tokenizer.tokens([min(refused)])
            raise InputError(
                f"{where}: {self.field!r} holds {token!r}, a special token; a {self.name} must not hold it"
            )
        if isinstance(text, str) and (written := tokenizer.special_in(text)) and written not in self._noticed:
            self._noticed.add(written)
            logger.warning(
                "%s: %r holds %s, which is read as plain text; task.added_tokens=[%s] would keep it a special token",
                *(where, self.field, written, json.dumps(written)),
            )


class Ragged:
    """Many lists of integers in one flat array: row i is `values[ends[i - 1]:ends[i]]`."""

    def __init__(self, values: array[int], ends: array[int]) -> None:
        self._values = np.frombuffer(values, dtype=values.typecode)
        self._ends = np.concatenate([[0], np.frombuffer(ends, dtype=np.int64)])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> NDArray[Any]:
        return self._values[self._ends[index] : self._ends[index + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Length of each row, `(N,)`."""
        return np.diff(self._ends)


class Corpus:
    """Tokenized pairs, by index.

    Args:
        sources: Source ids, without special tokens.
        targets: Target ids, without special tokens.
        names: UTF-8 bytes of the record ids.
    """

    def __init__(self, sources: Ragged, targets: Ragged, names: Ragged) -> None:
        self.sources = sources
        self.targets = targets
        self._names = names

    def __len__(self) -> int:
        return len(self.sources)

    def id(self, index: int) -> str:
        """The record's id; where there is none, its file and line."""
        return self._names[index].tobytes().decode("utf-8")

    @classmethod
    def read(cls, paths: Sequence[str], tokenizer: Tokenizer, source: Side, target: Side, id_field: str) -> Corpus:
        """Read and tokenize all records of some files, in their order.

        Sides longer than their limits lose their end; one warning per file counts them.

        Args:
            paths: Files or data sets, see `records`.

        Raises:
            InputError: a file is missing or empty, or one of its records is bad: file, line, field, what was found.
        """
        columns = {source: _Column("i"), target: _Column("i")}
        names = _Column("B")
        for path in paths:
            tallies = {side: _Tally() for side in columns}
            pairs = _checked(records(path), source.field, target.field, id_field)
            while chunk := list(itertools.islice(pairs, _CHUNK)):
                places, ids, *texts = zip(*chunk, strict=True)
                for side, side_texts in zip(columns, texts, strict=True):
                    encoded = side.encode(side_texts, places, tokenizer)
                    tallies[side].count(side_texts, encoded, side.limit, tokenizer.unknown)
                    columns[side].extend(row[: side.limit] for row in encoded)
                names.extend(id.encode("utf-8") for id in ids)
            for side, tally in tallies.items():
                tally.warn(path, side)
        return cls(columns[source].ragged(), columns[target].ragged(), names.ragged())


def records(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """`(where, record)` for every record of a file or data set; `where` is for messages.

    Args:
        path: A .csv or .tsv file (`read_table`) or a JSON-lines file, perhaps .gz; a .parquet or .arrow file; a folder
            that Hugging Face `datasets` wrote or understands; or a hub id. A folder and a hub id may end in `:SPLIT`
            (else train), and a hub id may hold `@CONFIG` ("cnn_dailymail@3.0.0:validation").

    Raises:
        InputError: it is missing, cannot be read, or holds no record; for files of lines also when a line is bad.
    """
    name, _, split = path.partition(":")
    suffix = suffix_of(path)
    if Path(path).is_file() and suffix in _DATASETS:
        yield from _rows(path, _load(path, _DATASETS[suffix], data_files=path, split="train"))
    elif Path(path).is_file():
        yield from read_table(path) if suffix in FORMATS else read_records(path)
    elif tables := _tables_in(Path(name), split or "train"):
        yield from itertools.chain.from_iterable(map(read_table, tables))
    elif Path(name).is_dir():
        yield from _rows(path, _load_folder(path, name, split or "train"))
    elif Path(path).suffix or path.startswith((".", "/", "~")) or path.count("/") > 1:
        yield from read_records(path)  # a missing file, which it reports
    else:
        hub_id, _, config = name.partition("@")
        yield from _rows(path, _load(path, hub_id, name=config or None, split=split or "train"))


def _tables_in(folder: Path, split: str) -> list[Path]:
    """The CSV and TSV files of a split: those with its name in theirs; without any, all are of the split "train"."""
    tables = sorted(path for path in folder.rglob("*") if suffix_of(path) in FORMATS) if folder.is_dir() else []
    named = [path for path in tables if split in path.name.lower()]
    return named or (tables if split == "train" else [])


def _load_folder(path: str, folder: str, split: str) -> Any:
    import datasets

    if not any((Path(folder) / name).is_file() for name in ("state.json", "dataset_dict.json")):
        return _load(path, folder, split=split)
    with _reading(path):
        loaded = datasets.load_from_disk(folder)
    if not isinstance(loaded, datasets.DatasetDict):
        return loaded
    if split not in loaded:
        raise InputError(f"{path}: it has no split {split!r}, only {', '.join(map(repr, loaded))}")
    return loaded[split]


def _load(path: str, builder: str, **options: Any) -> Any:
    import datasets

    with _reading(path):
        return datasets.load_dataset(builder, **options)


@contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # datasets raises a class of its own for each of its readers
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: neither a file nor a data set that can be read: {reason}") from error


def _rows(path: str, table: Iterable[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    number = 0
    for number, row in enumerate(table, start=1):
        yield f"{path}: row {number}", row
    if not number:
        raise InputError(f"{path}: the data set is empty; expected at least one row")


def _checked(
    found: Iterable[tuple[str, dict[str, Any]]], source_field: str, target_field: str, id_field: str
) -> Iterator[tuple[str, str, str | list[str], str | list[str]]]:
    """`(where, id, source, target)` of each record; a record without an id is named by its place."""
    for where, record in found:
        id = record.get(id_field)
        source, target = text_field(record, source_field, where), text_field(record, target_field, where)
        yield where, where if id is None else str(id), source, target


class _Tally:
    """Counts what was lost in one side of a file."""

    def __init__(self) -> None:
        self._texts = self._cut = self._listed = self._unknown = 0

    def count(
        self, texts: Sequence[str | list[str]], encoded: list[list[int]], limit: int, unknown: int | None
    ) -> None:
        self._texts += len(texts)
        self._cut += sum(len(ids) > limit for ids in encoded)
        for text, ids in zip(texts, encoded, strict=True):
            if isinstance(text, list):
                self._listed += len(ids)
                self._unknown += ids.count(unknown) if unknown is not None else 0

    def warn(self, path: str, side: Side) -> None:
        if self._cut:
            logger.warning(
                "%s: %d of %d %ss were cut at %d tokens, special ones not counted; task.max_%s sets the limit",
                *(path, self._cut, self._texts, side.name, side.limit, side.name),
            )
        if self._unknown:
            logger.warning(
                "%s: %d of %d tokens listed in %ss are not in the vocabulary; lists must hold its items, not words",
                *(path, self._unknown, self._listed, side.name),
            )


class _Column:
    """A growing `Ragged`."""

    def __init__(self, typecode: str) -> None:
        self._values: array[int] = array(typecode)
        self._ends: array[int] = array("q")

    def extend(self, rows: Iterable[Iterable[int]]) -> None:
        for row in rows:
            self._values.extend(row)
            self._ends.append(len(self._values))

    def ragged(self) -> Ragged:
        return Ragged(self._values, self._ends)
