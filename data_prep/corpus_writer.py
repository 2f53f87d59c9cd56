"""Writes a corpus: train, valid and test JSON-lines files and a data card, all of them or none."""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import re
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from s2s.data.ids import IdLines
from s2s.durable import whole_file, writing
from s2s.errors import InputError
from s2s.json_files import dump_json

logger = logging.getLogger(__name__)

SPLITS = ("train", "valid", "test")

Text = str | list[str]
"""One side of a pair: a string, or the tokens of one that is tokenized already."""


@dataclass(frozen=True)
class Pair:
    """One source and its target; `id` is unique in its file, `fields` are further fields of the record."""

    id: str
    source: Text
    target: Text
    fields: Mapping[str, str | int] = field(default_factory=dict)

    def line(self) -> str:
        """The record as one line of JSON in the format of s2s-ft: id, src, tgt, then the further fields."""
        record = {"id": self.id, "src": self.source, "tgt": self.target, **self.fields}
        return dump_json(record) + "\n"


class CorpusWriter:
    """Context manager that writes OUT/{train,valid,test}.jsonl and OUT/DATA_CARD.md.

    Pairs go to temporary files, which take their names when the block ends without an error and are removed otherwise.
    Memory holds 32 bytes a pair. An id that occurs twice in a file is reported.

    Args:
        folder: OUT; made if missing. An older corpus there is replaced.
        title: First line of the data card.
        about: Paragraphs of the data card: origin, rule, license.
        documents: Further text files to write beside the card, by name.
    """

    def __init__(
        self, folder: str | Path, title: str, about: Sequence[str], documents: Mapping[str, str] | None = None
    ) -> None:
        self.folder = Path(folder)
        self._title = title
        self._about = about
        self._documents = dict(documents or {})
        self._splits = {name: _Split() for name in SPLITS}
        self._skipped: Counter[str] = Counter()
        self._files = ExitStack()
        self._open_files: dict[str, BinaryIO] = {}

    def __enter__(self) -> CorpusWriter:
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        self._progress = tqdm(desc=self.folder.name, unit=" pairs", disable=None)
        return self

    def add(self, split: str, pair: Pair) -> None:
        """Write one pair to "train", "valid" or "test"; one with a blank side is skipped and counted."""
        if not _has_text(pair.source) or not _has_text(pair.target):
            self.skip("empty source or target")
            return
        with writing(self.folder):
            if not len(self._splits[split]):
                self._open(f"{split}.jsonl")
            self._open_files[f"{split}.jsonl"].write(pair.line().encode())
        self._splits[split].add(pair)
        self._progress.update()

    def skip(self, reason: str) -> None:
        """Count a record that the corpus leaves out."""
        self._skipped[reason] += 1

    @property
    def summary(self) -> str:
        """One line on what was written and what was left out."""
        counts = " / ".join(f"{len(split):,}" for split in self._splits.values())
        skipped = f"; skipped {listed(self._skipped)}" if self._skipped else ""
        return f"{self.folder}: {counts} pairs (train / valid / test){skipped}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.close()
        if error is not None:
            self._files.__exit__(kind, error, trace)
            return
        with self._files, writing(self.folder):
            self._finish()

    def _finish(self) -> None:
        if not any(map(len, self._splits.values())):
            skipped = listed(self._skipped) or "nothing, the input is empty"
            raise InputError(f"{self.folder}: no pair to write; skipped {skipped}")
        for name, split in self._splits.items():
            if not len(split) and (self.folder / f"{name}.jsonl").exists():
                raise InputError(
                    f"{self.folder}: holds {name}.jsonl of another corpus, and this one has no pair for it; "
                    "delete that file or choose another folder"
                )
        self._documents["DATA_CARD.md"] = self._card()
        for name, text in self._documents.items():
            self._open(name).write(text.encode())
        for file in self._open_files.values():
            file.flush()
            os.fsync(file.fileno())  # a full disk shows here, before anything is replaced
        for name, split in self._splits.items():
            if repeated := split.ids.repeated():
                count, first, second = repeated
                logger.warning(
                    "warning: %s: %d lines have the id of an earlier line, first %d and %d; evaluate matches by id",
                    *(self.folder / f"{name}.jsonl", count, first, second),
                )

    def _open(self, name: str) -> BinaryIO:
        self._open_files[name] = self._files.enter_context(whole_file(self.folder / name))
        return self._open_files[name]

    def _card(self) -> str:
        used = {name: split for name, split in self._splits.items() if len(split)}
        rows = [
            f"| {name} | {len(split):,} | {_lengths(split.source_words)} | {_lengths(split.target_words)} "
            f"| {split.duplicates():,} |"
            for name, split in used.items()
        ]
        parts = [
            f"# {self._title}",
            *self._about,
            "## Sizes",
            "Words are runs of non-blank characters, or tokens where a side is tokenized; "
            "a duplicate is a pair whose source and target occur earlier in the same file.",
            "| file | pairs | source words: mean, median, 95 %, maximum | target words | duplicates |\n"
            "|---|---|---|---|---|\n" + "\n".join(rows),
            *(
                f"Sources that are in both {first} and {second}: "
                f"{len(np.intersect1d(used[first].sources(), used[second].sources())):,}."
                for first, second in itertools.combinations(used, 2)
            ),
        ]
        if self._skipped:
            parts += ["## Left out", "- " + listed(self._skipped, "\n- ")]
        return "\n\n".join(parts) + "\n"


def listed(counts: Counter[str], separator: str = "; ") -> str:
    """Counts with their reasons, the largest first."""
    return separator.join(f"{count:,} {reason}" for reason, count in counts.most_common())


def _has_text(text: Text) -> bool:
    return bool(text.strip()) if isinstance(text, str) else any(token.strip() for token in text)


def normal_form(text: str) -> str:
    """A text for comparison: its letters in lower case; the text itself where it has none."""
    return " ".join(re.findall(r"[^\W\d_]+", text.casefold())) or text


class _Split:
    """What the card reports about one file, counted while it is written."""

    def __init__(self) -> None:
        self._sources = array("Q")
        self._pairs = array("Q")
        self.ids = IdLines()
        self.source_words: Counter[int] = Counter()  # histograms, so that memory does not grow with the corpus
        self.target_words: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._pairs)

    def add(self, pair: Pair) -> None:
        self._sources.append(_digest(pair.source))
        self._pairs.append(_digest([str(pair.source), str(pair.target)]))
        self.ids.add(pair.id, len(self))
        self.source_words[_words(pair.source)] += 1
        self.target_words[_words(pair.target)] += 1

    def sources(self) -> NDArray[np.uint64]:
        return np.frombuffer(self._sources, dtype=np.uint64)

    def duplicates(self) -> int:
        return len(self) - len(np.unique(np.frombuffer(self._pairs, dtype=np.uint64)))


def _words(text: Text) -> int:
    return len(text.split() if isinstance(text, str) else text)


def _lengths(histogram: Counter[int]) -> str:
    """Mean, median, 95th percentile and maximum."""
    lengths = np.array(sorted(histogram))
    counts = np.array([histogram[length] for length in lengths])
    ends = counts.cumsum()
    half, most = (int(lengths[np.searchsorted(ends, share * ends[-1])]) for share in (0.5, 0.95))
    return f"{(lengths * counts).sum() / ends[-1]:.1f}, {half}, {most}, {lengths[-1]}"


def _digest(text: Text) -> int:
    joined = text if isinstance(text, str) else "\0".join(text)
    return int.from_bytes(hashlib.blake2b(joined.encode("utf-8", "replace"), digest_size=8).digest(), "little")
