"""Examples between tokenizing and shards: sorted files on disk, merged a range of keys at a time.

Each part of the text becomes one file, its examples sorted by key. A shard is a range of keys: the same range of all
files, concatenated, sorted, without duplicates. So memory does not depend on the amount of text, nor the result on how
it was divided.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_prep.pretrain_text.tokenizing import Packed
from s2s.data.shards import Rows
from s2s.durable import whole_file

SPLITS = ("train", "valid")
_COUNTS = b"counts"


@dataclass(frozen=True)
class Merged:
    """The rows of a shard, its documents, and the duplicates that were dropped."""

    rows: Rows
    duplicate_documents: int
    documents: int


def write_run(path: Path, packed: Packed) -> None:
    """Write the examples of one part."""
    offsets = np.concatenate([[0], packed.lengths.cumsum()]).astype(np.int32)
    ids = pa.ListArray.from_arrays(offsets, packed.values)
    columns = {"key": packed.keys, "valid": packed.valid, "first": packed.first, "split": packed.splits, "ids": ids}
    batch = pa.record_batch(columns).replace_schema_metadata({_COUNTS: json.dumps(packed.counts)})
    with whole_file(path) as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)


def run_facts(path: Path) -> tuple[Counter[str], Counter[str]]:
    """The counts of one part, and its tokens by split, including duplicates."""
    run = _Run(path)
    return run.counts, Counter({split: run.tokens(split) for split in SPLITS})


def merge(paths: Sequence[Path], split: str, index: int, count: int) -> Merged:
    """The rows of shard `index` of the `count` shards of a split: sorted by key, each key once."""
    low, high = (np.uint64(min(2**64 - 1, -(-(2**64) * i // count))) for i in (index, index + 1))
    cuts = [_Run(path).range(split, low, high, is_last=index + 1 == count) for path in paths]
    keys, first, splits, lengths, values = (np.concatenate(columns) for columns in zip(*cuts, strict=True))
    order = np.argsort(keys, kind="stable")
    is_new = np.concatenate([[True], np.diff(keys[order]) != 0])[: len(order)]
    kept = order[is_new]
    starts = np.concatenate([[0], lengths.cumsum(dtype=np.int64)])[kept]
    kept_lengths = lengths[kept]
    ends = kept_lengths.cumsum(dtype=np.int64)
    places = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - kept_lengths), kept_lengths)
    documents = int(first[kept].sum())
    return Merged(Rows(values[places], kept_lengths, splits[kept]), int(first.sum()) - documents, documents)


class _Run:
    """A file of `write_run`, mapped into memory."""

    def __init__(self, path: Path) -> None:
        batch = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
        self.counts = Counter(json.loads(batch.schema.metadata[_COUNTS]))
        self._keys = np.asarray(batch.column("key"))
        self._first = batch.column("first")
        self._splits = np.asarray(batch.column("split"))
        self._offsets = np.asarray(batch.column("ids").offsets)
        self._values = np.asarray(batch.column("ids").values)
        self._num_train = len(self._keys) - int(batch.column("valid").true_count)

    def tokens(self, split: str) -> int:
        start, end = self._rows(split)
        return int(self._offsets[end] - self._offsets[start])

    def range(
        self, split: str, low: np.uint64, high: np.uint64, is_last: bool
    ) -> tuple[NDArray[np.uint64], NDArray[np.bool_], NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
        """Key, first, split and length of the rows with low <= key < high, and their ids one after another."""
        start, end = self._rows(split)
        keys = self._keys[start:end]
        stop = end if is_last else start + int(np.searchsorted(keys, high))
        start += int(np.searchsorted(keys, low))
        rows = slice(start, stop)
        lengths = np.diff(self._offsets[start : stop + 1])
        values = self._values[self._offsets[start] : self._offsets[stop]]
        first = self._first.slice(start, stop - start).to_numpy(zero_copy_only=False)
        return self._keys[rows], first, self._splits[rows], lengths, values

    def _rows(self, split: str) -> tuple[int, int]:
        return (0, self._num_train) if split == "train" else (self._num_train, len(self._keys))
