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
        limit: Maximum number of tokens without special tokens.
        strict: Refuse what is longer, and listed tokens that the vocabulary lacks, instead of cutting and replacing.
    """

    name: str
    field: str
    limit: int
    strict: bool = False
    _noticed: set[str] = dataclasses.field(default_factory=set, compare=False)

    def encode(self, texts: Sequence[str | list[str]], places: Sequence[str], tokenizer: Tokenizer) -> list[list[int]]:
        """Ids of some texts, not cut; `places` names the file and line of each.

        Special tokens in a text are plain text, unless `task.added_tokens` names them. A source may list them.

        Raises:
            InputError: a text holds no token, or a special token that is not allowed; under `strict` also if it is too
                long or lists an unknown token.
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

    def __len__(self) -> int:
        return len(self.sources)

    def id(self, index: int) -> str:
        """The record's id; its file and line if it has none."""
        return self.names[index].tobytes().decode("utf-8")

    @classmethod
    def read(cls, paths: Sequence[str], tokenizer: Tokenizer, source: Side, target: Side, id_field: str) -> Corpus:
        """Read and tokenize all records of some files, in their order.

        Sides longer than their limits lose their end; one warning per file counts them.

        Args:
            paths: Files or data sets, see `records`.

        Raises:
            InputError: a file is missing or empty, or one of its records is bad.
        """
        columns = {source: Ragged("i"), target: Ragged("i")}
        names = Ragged("B")
        for path in paths:
            losses = [_Losses(side, tokenizer.unknown) for side in columns]
            pairs = (
                (where, id_of(record, id_field, where), *(text_field(record, side.field, where) for side in columns))
                for where, record in records(path)
            )
            while chunk := list(itertools.islice(pairs, _CHUNK)):
                places, ids, *texts = zip(*chunk, strict=True)
                for (side, column), lost, side_texts in zip(columns.items(), losses, texts, strict=True):
                    encoded = side.encode(side_texts, places, tokenizer)
                    lost.count(side_texts, encoded)
                    column.extend(row[: side.limit] for row in encoded)
                names.extend(id.encode("utf-8") for id in ids)
            for lost in losses:
                lost.warn(path)
        return cls(columns[source], columns[target], names)


def id_of(record: dict[str, Any], field: str, where: str) -> str:
    """The id of a record; its place if it has none."""
    id = record.get(field)
    return where if id is None else str(id)


def records(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """`(where, record)` for every record of a file or data set; `where` is for messages.

    Args:
        path: A .csv or .tsv file (`read_table`) or a JSON-lines file, also as .gz; a .parquet or .arrow file; a folder
            that Hugging Face `datasets` can read; or a hub id. A folder and a hub id may end in `:SPLIT`
            (default: train), and a hub id may hold `@CONFIG` ("cnn_dailymail@3.0.0:validation").

    Raises:
        InputError: it is missing, cannot be read or holds no record, or a line of a file is bad.
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
    """The CSV and TSV files of a split: those with its name in theirs; if there are none, all belong to "train"."""
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


class _Losses:
    """Counts what was lost in one side of a file."""

    def __init__(self, side: Side, unknown: int | None) -> None:
        self._side, self._unknown_id = side, unknown
        self._texts = self._cut = self._listed = self._unknown = 0

    def count(self, texts: Sequence[str | list[str]], encoded: list[list[int]]) -> None:
        self._texts += len(texts)
        self._cut += sum(len(ids) > self._side.limit for ids in encoded)
        listed = [id for text, ids in zip(texts, encoded, strict=True) if isinstance(text, list) for id in ids]
        self._listed += len(listed)
        self._unknown += 0 if self._unknown_id is None else listed.count(self._unknown_id)

    def warn(self, path: str) -> None:
        name = self._side.name
        if self._cut:
            logger.warning(
                "%s: %d of %d %ss were cut at %d tokens, special ones not counted; task.max_%s sets the limit",
                *(path, self._cut, self._texts, name, self._side.limit, name),
            )
        if self._unknown:
            logger.warning(
                "%s: %d of %d tokens listed in %ss are not in the vocabulary; lists must hold its items, not words",
                *(path, self._unknown, self._listed, name),
            )
