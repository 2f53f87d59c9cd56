"""Pairs from the folders that `fairseq-preprocess` writes, read without fairseq.

A folder holds dictionaries, dict.LANGUAGE.txt, and for each split and language two files,
SPLIT.SOURCE-TARGET.LANGUAGE.bin with the ids of all sequences, and .idx with their lengths and places
(`--dataset-impl mmap`, fairseq's default).
Source: fairseq, `data/dictionary.py` and `data/indexed_dataset.py`.
"""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from data_prep.corpus_writer import SPLITS, Pair, Text
from data_prep.fairseq_names import SPECIAL, dictionary_file
from s2s.data.text_lines import read_text_lines
from s2s.data.tokenizer import wordpiece_join
from s2s.errors import InputError, shown

Pieces = Literal["words", "subword_nmt", "sentencepiece", "wordpiece", "items"]
"""What the items of a dictionary are, as `--post-process` of fairseq names them; items: keep them as a list."""

_END = SPECIAL.index("</s>")
_MAGIC = b"MMIDIDX\x00\x00"
_HEADER = struct.Struct("<9sQBQ")
_TYPES = {1: "<u1", 2: "<i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2", 9: "<u4", 10: "<u8"}
"""Kinds of integers by their number in an index."""
_OVERWRITE = " #fairseq:overwrite"


def read_dictionary(path: Path) -> list[str]:
    """The items of a dictionary by id, with the four special ones that its file leaves out.

    Raises:
        InputError: a line is not an item and its count, or an item comes twice.
    """
    items, known = list(SPECIAL), set(SPECIAL)
    for where, line in read_text_lines(path):
        replaces = line.rstrip().endswith(_OVERWRITE)
        item, _, count = line.rstrip().removesuffix(_OVERWRITE).rpartition(" ")
        if not item or not re.fullmatch("[0-9]{1,18}", count):
            raise InputError(f"{where}: expected an item, a space and its count, found {shown(line)}")
        if item in known and not replaces:
            raise InputError(f"{where}: {shown(item)} comes twice; expected each item once, and none of fairseq's own")
        items.append(item)
        known.add(item)
    return items


@dataclass(frozen=True)
class Sequences:
    """The sequences of ids in a pair of files, by number; the ids are read from the disk when they are asked for."""

    path: Path
    ids: NDArray[np.integer]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, number: int) -> list[int]:
        start = int(self.starts[number])
        found: list[int] = self.ids[start : start + int(self.lengths[number])].tolist()
        return found


def read_sequences(prefix: Path) -> Sequences:
    """The sequences of PREFIX.idx and PREFIX.bin.

    Raises:
        InputError: a file is missing, truncated or of another kind.
    """
    index, data = (prefix.with_name(f"{prefix.name}.{suffix}") for suffix in ("idx", "bin"))
    kind, lengths, starts = _read_index(index)
    width = np.dtype(kind).itemsize
    try:
        size = data.stat().st_size
        ids = np.memmap(data, kind, "r", shape=(size // width,)) if size >= width else np.empty(0, kind)
    except OSError as error:
        raise InputError(f"{data}: cannot be read: {error.strerror}") from error
    ends = starts + lengths.astype(np.int64) * width
    bad = (lengths < 0) | (starts < 0) | (starts % width != 0) | (ends > size) | (ends < starts)
    if bad.any():
        number = int(bad.argmax())
        raise InputError(
            f"{data}: truncated, or of another index: sequence {number + 1} of {len(lengths)} is bytes "
            f"{starts[number]} to {ends[number]}, found {size} bytes"
        )
    return Sequences(data, ids, starts // width, lengths)


def _read_index(path: Path) -> tuple[str, NDArray[np.int32], NDArray[np.int64]]:
    """The kind of integers, the lengths of sequences, and the bytes at which they begin."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if not content.startswith(_MAGIC[:7]):
        raise InputError(
            f"{path}: expected an index of fairseq-preprocess with --dataset-impl mmap (its default), "
            f"found a file that begins with {shown(content[:8])}"
        )
    if len(content) < _HEADER.size:
        raise InputError(f"{path}: truncated: expected {_HEADER.size} bytes of header, found {len(content)}")
    _, version, kind, count = _HEADER.unpack_from(content)
    if version != 1 or kind not in _TYPES:
        raise InputError(f"{path}: expected version 1 and integers, found version {version} and kind {kind}")
    expected = _HEADER.size + 12 * count
    if len(content) != expected:
        raise InputError(
            f"{path}: truncated or damaged: expected {expected} bytes for {count} sequences, found {len(content)}"
        )
    lengths = np.frombuffer(content, "<i4", count, _HEADER.size)
    starts = np.frombuffer(content, "<i8", count, _HEADER.size + 4 * count)
    return _TYPES[kind], lengths, starts


def languages_of(folder: Path) -> tuple[str, str]:
    """The languages of source and target, which the names of files tell; InputError if there are none or several."""
    names = (re.fullmatch(r"[a-z]+\d*\.([^.-]+)-([^.-]+)\.([^.]+)\.idx", path.name) for path in folder.glob("*.idx"))
    found = sorted({(name[1], name[2]) for name in names if name and name[3] in (name[1], name[2])})
    if len(found) != 1:
        pairs = ", ".join("-".join(pair) for pair in found) or "none"
        raise InputError(
            f"{folder}: expected files such as train.src-tgt.src.idx of one pair of languages, found {pairs}; "
            "--source-lang and --target-lang name one"
        )
    return found[0]


def read_splits(folder: Path, languages: tuple[str, str], pieces: Pieces) -> dict[str, Iterator[Pair]]:
    """The pairs of each split that a folder holds, in their order.

    Args:
        languages: Of source and target.
        pieces: How items become text.

    Raises:
        InputError: there is no split; by the iterators, see `read_sequences` and `read_dictionary`.
    """
    folder_names = {path.name for path in folder.glob("*.idx")} if folder.is_dir() else set()
    pair = "-".join(languages)
    splits = [split for split in SPLITS if f"{split}.{pair}.{languages[0]}.idx" in folder_names]
    if not splits:
        raise InputError(f"{folder}: expected a folder of fairseq-preprocess with train.{pair}.{languages[0]}.idx")
    dictionaries = [read_dictionary(folder / dictionary_file(language)) for language in languages]
    return {split: _pairs(folder, split, languages, dictionaries, pieces) for split in splits}


def _pairs(
    folder: Path, split: str, languages: tuple[str, str], dictionaries: Sequence[list[str]], pieces: Pieces
) -> Iterator[Pair]:
    numbers = itertools.count(1)
    for part in itertools.count():
        name = f"{split}{part or ''}.{'-'.join(languages)}"
        if part and not (folder / f"{name}.{languages[0]}.idx").exists():
            return
        sides = [read_sequences(folder / f"{name}.{language}") for language in languages]
        if len(sides[0]) != len(sides[1]):
            raise InputError(
                f"{sides[1].path}: expected as many sequences as {sides[0].path.name} has, {len(sides[0])}, "
                f"found {len(sides[1])}"
            )
        for place in range(len(sides[0])):
            texts = [_text(side, place, items, pieces) for side, items in zip(sides, dictionaries, strict=True)]
            yield Pair(f"{split}-{next(numbers)}", texts[0], texts[1])


def _text(sequences: Sequences, place: int, items: list[str], pieces: Pieces) -> Text:
    ids = sequences[place]
    ids = ids[:-1] if ids and ids[-1] == _END else ids
    if ids and not 0 <= min(ids) <= max(ids) < len(items):
        wrong = next(id for id in ids if not 0 <= id < len(items))
        raise InputError(
            f"{sequences.path}: sequence {place + 1} holds the id {wrong}; its dictionary has {len(items)} items"
        )
    return joined([items[id] for id in ids], pieces)


def joined(items: list[str], pieces: Pieces) -> Text:
    """The text of items. Source: fairseq, `data/data_utils.py`: post_process."""
    match pieces:
        case "items":
            return items
        case "wordpiece":
            return wordpiece_join(items)
        case "sentencepiece":
            return "".join(items).replace("\u2581", " ").strip()
        case "subword_nmt":
            return f"{' '.join(items)} ".replace("@@ ", "").rstrip()
        case "words":
            return " ".join(items)
