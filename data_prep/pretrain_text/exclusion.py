"""Keeping test sets out of training text: documents that share a long run of words with one are left out."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s2s.data.files import read_lines
from s2s.data.jsonl import read_records, text_field
from s2s.errors import InputError

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, hence no run of words loses one of them modulo 2^64
_FIELDS = ("src", "tgt", "text")
_WORD = re.compile(r"[^\W_]+")


class Exclusion:
    """The runs of words of one test set, to find documents that contain a part of it.

    A text is found by each run of `longest` words; one that has fewer, but at least `shortest`, by all its words.
    Shorter ones are too common to look for. Only letters and digits count, without case.
    """

    def __init__(self, name: str, texts: Iterable[str], longest: int, shortest: int) -> None:
        self.name = name
        self.num_texts = self.num_too_short = 0
        runs: defaultdict[int, list[NDArray[np.uint64]]] = defaultdict(list)
        for text in texts:
            words = _words(text)
            size = min(len(words), longest)
            if size < shortest:
                self.num_too_short += 1
                continue
            self.num_texts += 1
            runs[size] += [hashes for length, hashes in _runs(words, size) if length == size]
        self._runs = {size: np.unique(np.concatenate(found)) for size, found in sorted(runs.items())}

    @classmethod
    def read(cls, path: Path, longest: int, shortest: int) -> Exclusion:
        """The texts of a file: src, tgt and text of JSON lines, those that are there; else every line."""
        found = cls(str(path), _texts(path), longest, shortest)
        if not found.num_texts:
            raise InputError(f"--exclude {path}: expected texts of at least {shortest} words, found none")
        return found

    def matches(self, text: str) -> bool:
        """Whether a text shares a run of words with the set."""
        for size, hashes in _runs(_words(text), max(self._runs, default=0)):
            if (table := self._runs.get(size)) is not None:
                places = np.searchsorted(table, hashes).clip(max=len(table) - 1)
                if (table[places] == hashes).any():
                    return True
        return False


def _texts(path: Path) -> Iterator[str]:
    if path.suffix not in (".jsonl", ".json"):
        for line in read_lines(path):
            yield line.content.decode("utf-8", "replace")
        return
    for where, record in read_records(path):
        fields = [field for field in _FIELDS if field in record]
        if not fields:
            raise InputError(f"{where}: expected a field {', '.join(_FIELDS)}; found {', '.join(map(repr, record))}")
        for field in fields:
            text = text_field(record, field, where)
            yield text if isinstance(text, str) else " ".join(text)


def _words(text: str) -> NDArray[np.uint64]:
    words: Sequence[str] = _WORD.findall(text.casefold())
    known = {
        word: int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little") for word in set(words)
    }
    return np.array([known[word] for word in words], dtype=np.uint64)


def _runs(words: NDArray[np.uint64], longest: int) -> Iterator[tuple[int, NDArray[np.uint64]]]:
    """`(length, hashes of all runs of that length)` for each length up to `longest`."""
    hashes = np.zeros(len(words) + 1, dtype=np.uint64)
    for length in range(1, min(longest, len(words)) + 1):
        hashes = hashes[:-1] * _MULTIPLIER + words[length - 1 :]
        yield length, hashes
