"""A subset of a corpus: the same pairs on every machine, and no pair in train that resembles one in test."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator, Mapping
from pathlib import Path

from data_prep.corpus_writer import SPLITS, CorpusWriter, Pair, Text, normal_form
from s2s.data.jsonl import id_field, read_records, text_field
from s2s.data.text_lines import read_text
from s2s.errors import InputError

OPENING_WORDS = 12


def write(folder: Path, corpus: Path, sizes: Mapping[str, int]) -> str:
    """Write to `folder` `sizes[split]` pairs of each split of the corpus in the folder `corpus`.

    Pairs are taken by md5 of their id, so a larger subset holds the smaller ones. Test comes first, then valid, then
    train: a pair is left out if one of another split has the same words in its target, or the same beginning of its
    source. The license note of the corpus (NOTICE) is copied.

    Raises:
        InputError: a file of the corpus is missing or has a bad record.
    """
    rule = (
        "A subset of a larger corpus: of each split the pairs whose ids have the smallest md5. Test was taken first,\n"
        "then valid, then train, without pairs that have the words of their target or the first\n"
        f"{OPENING_WORDS} words of their source in common with a pair of a split that was taken before."
    )
    seen: set[str] = set()
    notice = corpus / "NOTICE"
    documents = {notice.name: read_text(notice)} if notice.is_file() else {}
    with CorpusWriter(folder, f"{_title(corpus)}: a subset", [rule], documents) as writer:
        for split in reversed(SPLITS):
            if not sizes[split]:
                continue
            for pair in _first(corpus / f"{split}.jsonl", sizes[split], seen, writer):
                writer.add(split, pair)
                if split != "train":
                    seen.update(fingerprints(pair))
    return writer.summary


def fingerprints(pair: Pair) -> Iterator[str]:
    """What two pairs must not share if one is for training and the other for testing."""
    yield "target " + " ".join(sorted(set(normal_form(_plain(pair.target)).split())))
    yield "source " + " ".join(normal_form(_plain(pair.source)).split()[:OPENING_WORDS])


def _first(path: Path, size: int, seen: set[str], writer: CorpusWriter) -> list[Pair]:
    """The `size` pairs with the smallest md5 of their ids, in that order, none with a fingerprint in `seen`."""
    chosen = heapq.nsmallest(size, _unseen(path, seen, writer), key=lambda pair: hashlib.md5(pair.id.encode()).digest())
    if len(chosen) < size:
        raise InputError(f"{path}: expected at least {size:,} pairs, found {len(chosen):,}")
    return chosen


def _unseen(path: Path, seen: set[str], writer: CorpusWriter) -> Iterator[Pair]:
    for where, record in read_records(path):
        source, target = text_field(record, "src", where), text_field(record, "tgt", where)
        identity = id_field(record, where)
        if not isinstance(record.get("id"), str) or identity is None:
            raise InputError(f"{where}: 'id' must be a string, by which the subset is chosen")
        fields = {key: value for key, value in record.items() if key not in ("id", "src", "tgt")}
        pair = Pair(identity, source, target, fields)
        if seen.isdisjoint(fingerprints(pair)):
            yield pair
        else:
            writer.skip("pairs that resemble one of another split")


def _title(corpus: Path) -> str:
    card = corpus / "DATA_CARD.md"
    if not card.is_file():
        return corpus.name
    return read_text(card).partition("\n")[0].lstrip("# ")


def _plain(text: Text) -> str:
    return text if isinstance(text, str) else " ".join(text)
