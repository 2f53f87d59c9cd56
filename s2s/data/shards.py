"""Pretraining text as Parquet shards of token ids: their schema, how one is written, how a folder of them is read.

A folder holds `train-00000-of-00004.parquet` and so on, likewise `valid-...`. A row is one input of an encoder,
`[CLS] first segment [SEP] second segment [SEP]`, special tokens stored; `split` is where the second segment begins, the
row's length where there is none. Rows lie in a random order already.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from s2s.data.tokenizer import Tokenizer
from s2s.errors import InputError

FORMAT = "pretrain-text 1"

_PREFIX = "unilatent."
_SCHEMA = pa.schema(
    [
        pa.field("ids", pa.list_(pa.field("element", pa.int32(), nullable=False)), nullable=False),
        pa.field("split", pa.int32(), nullable=False),
    ]
)
_ROW_GROUP = 8192


class Example(NamedTuple):
    """One input: its ids `(n,)` with special tokens, and the slots of its first segment, [CLS] and [SEP] counted."""

    ids: NDArray[np.int64]
    split: int


@dataclass(frozen=True)
class Rows:
    """Many examples in flat arrays.

    Args:
        values: The ids of all examples one after another.
        lengths: Slots of each example, `(N,)`.
        splits: Slots of each example's first segment, `(N,)`.
    """

    values: NDArray[np.integer]
    lengths: NDArray[np.integer]
    splits: NDArray[np.integer]


@dataclass(frozen=True)
class Header:
    """What every shard says about the folder it belongs to.

    Args:
        max_length: Most slots of an example.
        vocabulary: Number of items of the tokenizer's vocabulary.
        fingerprint: `fingerprint` of the tokenizer.
        seed: Seed of the order.
    """

    max_length: int
    vocabulary: int
    fingerprint: str
    seed: int


def fingerprint(tokenizer: Tokenizer, size: int | None = None) -> str:
    """A digest of the first `size` items of a vocabulary (default: of all) in the order of their ids.

    Tokens that a task adds behind the vocabulary therefore do not make stored ids wrong.
    """
    items = tokenizer.tokens(range(tokenizer.vocab_size if size is None else size))
    return hashlib.sha256("\n".join(items).encode("utf-8")).hexdigest()


def shard_name(split: str, index: int, count: int) -> str:
    """File name of one shard of a split."""
    return f"{split}-{index:05d}-of-{count:05d}.parquet"


def write_shard(path: Path, rows: Rows, header: Header) -> None:
    """Write some examples as one shard; the same rows and header give the same bytes."""
    offsets = np.concatenate([[0], np.cumsum(rows.lengths, dtype=np.int64)]).astype(np.int32)
    ids = pa.ListArray.from_arrays(offsets, rows.values.astype(np.int32), type=_SCHEMA.field("ids").type)
    facts = {"format": FORMAT, "tokens": len(rows.values), **header.__dict__}
    schema = _SCHEMA.with_metadata({f"{_PREFIX}{name}": str(value) for name, value in facts.items()})
    table = pa.Table.from_arrays([ids, pa.array(rows.splits.astype(np.int32))], schema=schema)
    pq.write_table(table, path, row_group_size=_ROW_GROUP, compression="zstd")


class Shards:
    """All examples of a split, by index, in flat arrays in memory: two bytes a token where the vocabulary allows it.

    Args:
        rows: The examples.
        max_length: Most slots of an example.
        names: `(shard, examples before it)` in their order, for messages.
    """

    def __init__(self, rows: Rows, max_length: int, names: list[tuple[str, int]]) -> None:
        self.lengths: NDArray[np.int64] = rows.lengths.astype(np.int64)
        self.max_length = max_length
        self._values = rows.values
        self._splits = rows.splits
        self._starts = np.concatenate([[0], self.lengths.cumsum()])
        self._names = names

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> Example:
        ids = self._values[self._starts[index] : self._starts[index + 1]]
        return Example(ids.astype(np.int64), int(self._splits[index]))

    def id(self, index: int) -> str:
        """Shard and row of an example."""
        name, before = next(entry for entry in reversed(self._names) if entry[1] <= index)
        return f"{name}:{index - before}"

    @classmethod
    def read(cls, folder: str | Path, split: str, tokenizer: Tokenizer) -> Shards:
        """Read the shards of `split` ("train" or "valid") in a folder.

        Raises:
            InputError: a shard is missing, cut off or of another format, or was made with another vocabulary.
        """
        paths = shard_paths(Path(folder), split)
        headers = [_header(path) for path in paths]
        _check_vocabulary(paths[0], headers[0][0], tokenizer)
        for path, (header, _, _) in zip(paths, headers, strict=True):
            if header != headers[0][0]:
                raise InputError(f"{path}: made in another run than {paths[0].name}; prepare the folder again")
        counts = [rows for _, rows, _ in headers]
        merged = Rows(
            values=np.empty(
                sum(tokens for *_, tokens in headers), np.uint16 if tokenizer.vocab_size <= 2**16 else np.int32
            ),
            lengths=np.empty(sum(counts), np.int64),
            splits=np.empty(sum(counts), np.int32),
        )
        token = row = 0
        for path in paths:
            for rows in read_rows(path, headers[0][0]):
                merged.values[token : token + len(rows.values)] = rows.values
                merged.lengths[row : row + len(rows.lengths)] = rows.lengths
                merged.splits[row : row + len(rows.lengths)] = rows.splits
                token, row = token + len(rows.values), row + len(rows.lengths)
        before = np.concatenate([[0], np.cumsum(counts)])[:-1].tolist()
        return cls(merged, headers[0][0].max_length, list(zip((path.name for path in paths), before, strict=True)))


def shard_paths(folder: Path, split: str) -> list[Path]:
    """The shards of a split in their order.

    Raises:
        InputError: there is none, or one of the set is missing.
    """
    found = sorted(folder.glob(f"{split}-*-of-*.parquet"))
    if not found:
        what = "no such folder" if not folder.is_dir() else f"found no {split}-*.parquet in it"
        raise InputError(f"{folder}: expected a folder of `unilatent prepare pretrain-text`, {what}")
    named = re.fullmatch(rf"{split}-\d+-of-(\d+)\.parquet", found[0].name)
    count = int(named[1]) if named else 0
    paths = [folder / shard_name(split, index, count) for index in range(count)]
    for path in (*paths, *found):
        if not path.is_file() or path not in paths:
            state = "missing" if not path.is_file() else f"not one of the {count} shards that {found[0].name} tells of"
            raise InputError(f"{path}: {state}; prepare the folder again")
    return paths


def read_rows(path: Path, header: Header) -> Iterator[Rows]:
    """The examples of one shard, some thousands at a time.

    Raises:
        InputError: the shard is cut off, or holds a row that the header does not allow.
    """
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROW_GROUP):
                yield _checked(path, batch, header)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: not a whole Parquet file: {_first_line(error)}") from error


def _checked(path: Path, batch: pa.RecordBatch, header: Header) -> Rows:
    ids, splits = batch.column("ids"), batch.column("split")
    if ids.null_count or splits.null_count or ids.flatten().null_count:
        raise InputError(f"{path}: holds a row without ids or split; prepare the folder again")
    lengths = np.asarray(ids.value_lengths())
    rows = Rows(np.asarray(ids.flatten()), lengths, np.asarray(splits))
    if len(rows.values) and not 0 <= rows.values.min() <= rows.values.max() < header.vocabulary:
        raise InputError(f"{path}: holds ids outside the vocabulary of {header.vocabulary} items")
    fitting = (rows.lengths <= header.max_length) & (rows.splits >= 1) & (rows.splits <= rows.lengths)
    if not fitting.all():
        raise InputError(f"{path}: holds rows of more than {header.max_length} slots or with a split outside the row")
    return rows


def _header(path: Path) -> tuple[Header, int, int]:
    """What a shard says about itself: header, number of rows, number of tokens."""
    try:
        schema, rows = pq.read_schema(path), pq.read_metadata(path).num_rows
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: not a whole Parquet file: {_first_line(error)}") from error
    facts = {key.decode().removeprefix(_PREFIX): value.decode() for key, value in (schema.metadata or {}).items()}
    if facts.get("format") != FORMAT or schema.remove_metadata() != _SCHEMA:
        raise InputError(
            f"{path}: expected a shard of `unilatent prepare pretrain-text` ({FORMAT!r}), "
            f"found {facts.get('format', 'columns ' + ', '.join(schema.names))!r}"
        )
    header = Header(int(facts["max_length"]), int(facts["vocabulary"]), facts["fingerprint"], int(facts["seed"]))
    return header, rows, int(facts["tokens"])


def _check_vocabulary(path: Path, header: Header, tokenizer: Tokenizer) -> None:
    if header.vocabulary <= tokenizer.vocab_size and fingerprint(tokenizer, header.vocabulary) == header.fingerprint:
        return
    raise InputError(
        f"{path}: its ids are of another vocabulary ({header.vocabulary} items) than tokenizer {tokenizer.name} "
        f"({tokenizer.vocab_size} items); use the tokenizer in {path.parent / 'tokenizer'}"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
