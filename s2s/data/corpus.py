"""Source-target pairs of a corpus, tokenised once and kept in flat arrays, so that millions of pairs fit in memory."""

from __future__ import annotations

import itertools
import logging
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2s.data.jsonl import read_records, text_field
from s2s.data.tokenizer import Tokenizer
from s2s.errors import InputError

logger = logging.getLogger(__name__)

_TABLES = {".parquet": "parquet", ".csv": "csv", ".tsv": "csv", ".arrow": "arrow"}
_CHUNK = 2048
"""Records tokenised at a time, which keeps all cores busy and memory small."""


@dataclass(frozen=True)
class Fields:
    """Which fields of a record hold the source, the target and the id."""

    source: str = "src"
    target: str = "tgt"
    id: str = "id"


@dataclass(frozen=True)
class Limits:
    """Most tokens of a source and of a target, special tokens not counted; `strict` refuses longer ones."""

    source: int
    target: int
    strict: bool = False


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
    """Tokenised pairs, by index.

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
    def read(cls, paths: Sequence[str], tokenizer: Tokenizer, fields: Fields, limits: Limits) -> Corpus:
        """Read and tokenise all records of some files, in their order.

        Sides that are longer than the limits lose their end; one warning a file tells how many did.

        Args:
            paths: Files or data sets, see `records`.

        Raises:
            InputError: a file is missing or empty, or one of its records is bad: file, line, field, what was found.
        """
        builder = _Builder()
        for path in paths:
            cut = dict.fromkeys(("sources", "targets"), 0)
            before = builder.size
            found = _checked(records(path), fields)
            while chunk := list(itertools.islice(found, _CHUNK)):
                sources = _encode([pair.source for pair in chunk], tokenizer, chunk, fields.source)
                targets = _encode([pair.target for pair in chunk], tokenizer, chunk, fields.target)
                for pair, source, target in zip(chunk, sources, targets, strict=True):
                    cut["sources"] += _too_long(source, limits.source, limits.strict, pair.where, fields.source)
                    cut["targets"] += _too_long(target, limits.target, limits.strict, pair.where, fields.target)
                    builder.add(source[: limits.source], target[: limits.target], pair.name)
            _warn_of_cuts(path, builder.size - before, cut, limits)
        return builder.corpus()


def records(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """`(where, record)` for every record of a file or data set; `where` is for messages.

    Args:
        path: A JSON-lines file; a .parquet, .csv, .tsv or .arrow file; a folder that Hugging Face `datasets` wrote or
            understands; or a hub id. A folder and a hub id may end in `:SPLIT` (else train) and a hub id may hold
            `@CONFIG` ("cnn_dailymail@3.0.0:validation").

    Raises:
        InputError: it is missing, cannot be read, or holds no record; for JSON lines also when a line is bad.
    """
    name, _, split = path.partition(":")
    if Path(path).is_file() and Path(path).suffix not in _TABLES:
        yield from read_records(path)
    elif Path(path).is_file():
        yield from _rows(path, _load(path, _TABLES[Path(path).suffix], data_files=path, split="train"))
    elif Path(name).is_dir():
        yield from _rows(path, _load_folder(name, split))
    elif Path(path).suffix or path.startswith((".", "/", "~")) or path.count("/") > 1:
        yield from read_records(path)  # a missing file, which it reports
    else:
        hub_id, _, config = name.partition("@")
        yield from _rows(path, _load(path, hub_id, name=config or None, split=split or "train"))


def _load_folder(folder: str, split: str) -> Any:
    import datasets

    try:
        if not ((Path(folder) / "state.json").is_file() or (Path(folder) / "dataset_dict.json").is_file()):
            return _load(folder, folder, split=split or "train")
        loaded = datasets.load_from_disk(folder)
        return loaded[split or "train"] if isinstance(loaded, datasets.DatasetDict) else loaded
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{folder}: cannot be read as a data set: {_first_line(error)}") from error


def _load(path: str, builder: str, **options: Any) -> Any:
    import datasets

    if path.endswith(".tsv"):
        options["sep"] = "\t"
    try:
        return datasets.load_dataset(builder, **options)
    except Exception as error:  # datasets raises a class of its own for each of its readers
        raise InputError(f"{path}: neither a file nor a data set that can be read: {_first_line(error)}") from error


def _rows(path: str, table: Iterable[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    empty = True
    for number, row in enumerate(table, start=1):
        empty = False
        yield f"{path}: row {number}", row
    if empty:
        raise InputError(f"{path}: the data set is empty")


@dataclass(frozen=True)
class _Pair:
    where: str
    name: str
    source: str | list[str]
    target: str | list[str]


def _checked(found: Iterable[tuple[str, dict[str, Any]]], fields: Fields) -> Iterator[_Pair]:
    for where, record in found:
        yield _Pair(
            where,
            str(record.get(fields.id, where)),
            text_field(record, fields.source, where),
            text_field(record, fields.target, where),
        )


def _encode(texts: list[str | list[str]], tokenizer: Tokenizer, chunk: list[_Pair], field: str) -> list[list[int]]:
    encoded = tokenizer.encode_many(texts)
    for pair, ids in zip(chunk, encoded, strict=True):
        if not ids:
            raise InputError(f"{pair.where}: {field!r} holds no token (only blanks or control characters)")
    return encoded


def _too_long(ids: list[int], limit: int, strict: bool, where: str, field: str) -> bool:
    if strict and len(ids) > limit:
        raise InputError(f"{where}: {field!r} has {len(ids)} tokens, at most {limit} are allowed (task.strict)")
    return len(ids) > limit


def _warn_of_cuts(path: str, total: int, cut: dict[str, int], limits: Limits) -> None:
    for side, limit in (("sources", limits.source), ("targets", limits.target)):
        if cut[side]:
            logger.warning("%s: %d of %d %s were cut at %d tokens", path, cut[side], total, side, limit)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class _Builder:
    """Grows the flat arrays of a corpus."""

    def __init__(self) -> None:
        self.size = 0
        self._values = {"source": array("i"), "target": array("i"), "name": array("B")}
        self._ends = {side: array("q") for side in self._values}

    def add(self, source: list[int], target: list[int], name: str) -> None:
        self.size += 1
        for side, row in (("source", source), ("target", target), ("name", name.encode("utf-8"))):
            self._values[side].extend(row)
            self._ends[side].append(len(self._values[side]))

    def corpus(self) -> Corpus:
        return Corpus(*(Ragged(self._values[side], self._ends[side]) for side in ("source", "target", "name")))
