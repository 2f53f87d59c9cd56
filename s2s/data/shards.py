"""Pretraining text as Parquet shards of token ids: their schema, how one is written, how a folder of them is read.

A folder holds `train-00000-of-00004.parquet` and so on, and `valid-...`. A row is one input of an encoder,
`[CLS] first segment [SEP] second segment [SEP]`, special tokens stored; `split` is where the second segment begins, the
row's length where there is none. Rows lie in a random order already.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from s2s.data.tokenizer import Tokenizer
from s2s.errors import InputError, reason_of

FORMAT = "pretrain-text 1"

_PREFIX = "unilatent."
_SCHEMA = pa.schema(
    [
        pa.field("ids", pa.list_(pa.field("element", pa.int32(), nullable=False)), nullable=False),
        pa.field("split", pa.int32(), nullable=False),
    ]
)
_ROW_GROUP = 1024
_MOST_IN_MEMORY = 2**31
"""Tokens of a split that are kept in memory by default; of a larger split only the row groups read last are."""
_GROUPS_KEPT = 512


class Example(NamedTuple):
    """One input: its ids `(n,)` with special tokens, and the slots of its first segment, [CLS] and [SEP] counted."""

    ids: NDArray[np.int64]
    split: int


@dataclass(frozen=True)
class Rows:
    """Many examples in flat arrays: all ids one after another, and for each example its slots and those of its first
    segment, `(N,)`.
    """

    values: NDArray[np.integer]
    lengths: NDArray[np.integer]
    splits: NDArray[np.integer]


@dataclass(frozen=True)
class Header:
    """What every shard records about its folder: maximum slots of an example, number of items of the vocabulary,
    `fingerprint` of the tokenizer, seed of the order.
    """

    max_length: int
    vocabulary: int
    fingerprint: str
    seed: int


def fingerprint(tokenizer: Tokenizer, size: int | None = None) -> str:
    """A digest of the first `size` items of a vocabulary (default: all) by id; tokens that a task appends are not
    among them.
    """
    items = tokenizer.tokens(range(tokenizer.vocab_size if size is None else size))
    return hashlib.sha256("\n".join(items).encode("utf-8")).hexdigest()


def shard_name(split: str, index: int, count: int) -> str:
    """File name of one shard of a split."""
    return f"{split}-{index:05d}-of-{count:05d}.parquet"


def write_shard(target: Path | BinaryIO, rows: Rows, header: Header) -> None:
    """Write some examples as one shard; the same rows and header give the same bytes."""
    offsets = np.concatenate([[0], np.cumsum(rows.lengths, dtype=np.int64)]).astype(np.int32)
    ids = pa.ListArray.from_arrays(offsets, rows.values.astype(np.int32), type=_SCHEMA.field("ids").type)
    facts = {"format": FORMAT, "tokens": len(rows.values), **header.__dict__}
    schema = _SCHEMA.with_metadata({f"{_PREFIX}{name}": str(value) for name, value in facts.items()})
    table = pa.Table.from_arrays([ids, pa.array(rows.splits.astype(np.int32))], schema=schema)
    pq.write_table(table, target, row_group_size=_ROW_GROUP, compression="zstd")


@dataclass(frozen=True)
class Shards:
    """All examples of a split, by index, for any number of threads.

    A small corpus is kept in memory, with two bytes a token if the vocabulary allows it. Of a large one only the
    lengths are (12 bytes an example); its ids are read on demand, a row group at a time.

    Args:
        lengths: Slots of each example, `(N,)`.
        splits: Slots of each example's first segment, `(N,)`.
        ids: From the index of an example to its ids.
        max_length: Maximum slots of an example.
        names: `(shard, examples before it)` in their order, for messages.
    """

    lengths: NDArray[np.int64]
    splits: NDArray[np.int32]
    ids: Callable[[int], NDArray[np.integer]]
    max_length: int
    names: list[tuple[str, int]]

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> Example:
        return Example(self.ids(index).astype(np.int64), int(self.splits[index]))

    def id(self, index: int) -> str:
        """Shard and row of an example."""
        name, before = next(entry for entry in reversed(self.names) if entry[1] <= index)
        return f"{name}:{index - before}"

    @classmethod
    def read(cls, folder: str | Path, split: str, tokenizer: Tokenizer, max_in_memory: int = _MOST_IN_MEMORY) -> Shards:
        """Read and check the shards of `split` ("train" or "valid"); a split of up to `max_in_memory` tokens is kept.

        Raises:
            InputError: a shard is missing, cut off or of another format, or was made with another vocabulary.
        """
        paths = shard_paths(Path(folder), split)
        headers = [_header(path) for path in paths]
        header = headers[0][0]
        _check_vocabulary(paths[0], header, tokenizer)
        for path, (other, *_) in zip(paths, headers, strict=True):
            if other != header:
                raise InputError(f"{path}: made in another run than {paths[0].name}; prepare the folder again")
        num_tokens = sum(tokens for *_, tokens in headers)
        keeps = num_tokens <= max_in_memory
        dtype = np.uint16 if header.vocabulary <= 2**16 else np.int32
        values = np.empty(num_tokens if keeps else 0, dtype)
        lengths, splits = [np.empty(0, np.int64)], [np.empty(0, np.int32)]
        token = 0
        for rows in (rows for path in paths for rows in read_rows(path, header)):
            lengths.append(rows.lengths.astype(np.int64))
            splits.append(rows.splits.astype(np.int32))
            if keeps:
                values[token : token + len(rows.values)] = rows.values
                token += len(rows.values)
        all_lengths = np.concatenate(lengths)
        ids = partial(_slice, values, np.concatenate([[0], all_lengths.cumsum()])) if keeps else _OnDisk(paths)
        before = np.cumsum([0, *(rows for _, rows, _ in headers)])[:-1].tolist()
        names = list(zip((path.name for path in paths), before, strict=True))
        return cls(all_lengths, np.concatenate(splits), ids, header.max_length, names)


class _OnDisk:
    """From the index of an example to its ids, with a cache of row groups."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths
        self._metadata = [pq.read_metadata(path) for path in paths]
        self._groups = [(shard, i) for shard, found in enumerate(self._metadata) for i in range(found.num_row_groups)]
        sizes = [self._metadata[shard].row_group(i).num_rows for shard, i in self._groups]
        self._starts = np.cumsum([0, *sizes])
        self._group = lru_cache(_GROUPS_KEPT)(self._read)

    def __call__(self, index: int) -> NDArray[np.integer]:
        group = int(np.searchsorted(self._starts, index, side="right")) - 1
        return _slice(*self._group(group), index - int(self._starts[group]))

    def _read(self, group: int) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
        shard, number = self._groups[group]
        path = self._paths[shard]
        with _reading(path), pq.ParquetFile(path, metadata=self._metadata[shard]) as file:
            column = file.read_row_group(number, columns=["ids"]).column(0).combine_chunks()
        return np.asarray(column.values), np.asarray(column.offsets)


def _slice(values: NDArray[np.integer], starts: NDArray[np.integer], index: int) -> NDArray[np.integer]:
    return values[starts[index] : starts[index + 1]]


def shard_paths(folder: Path, split: str) -> list[Path]:
    """The shards of a split in their order; InputError if there is none, or one of the set is missing."""
    found = sorted(folder.glob(f"{split}-*-of-*.parquet"))
    if not found:
        what = "no such folder" if not folder.is_dir() else f"found no {split}-*.parquet in it"
        raise InputError(f"{folder}: expected a folder of `unilatent prepare pretrain-text`, {what}")
    named = re.fullmatch(rf"{split}-\d+-of-(\d+)\.parquet", found[0].name)
    count = int(named[1]) if named else 0
    paths = [folder / shard_name(split, index, count) for index in range(count)]
    for path in (*paths, *found):
        if not path.is_file() or path not in paths:
            state = "missing" if not path.is_file() else f"not one of the {count} shards that {found[0].name} lists"
            raise InputError(f"{path}: {state}; prepare the folder again")
    return paths


def read_rows(path: Path, header: Header) -> Iterator[Rows]:
    """The examples of one shard in batches; InputError if it is cut off or holds a row that the header forbids."""
    with _reading(path), pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROW_GROUP):
            yield _checked(path, batch, header)


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
    """What a shard records about itself: header, number of rows, number of tokens."""
    with _reading(path):
        schema, rows = pq.read_schema(path), pq.read_metadata(path).num_rows
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


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: not a whole Parquet file: {reason_of(error)}") from error
