"""Documents to examples: decoding, exclusion, sentences, ids, packing; what one process does to one part."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_prep.pretrain_text.exclusion import Exclusion
from data_prep.pretrain_text.raw_text import LONGEST, Raw, cut, text_of
from data_prep.pretrain_text.settings import Settings
from s2s.data.sentences import sentences
from s2s.data.tokenizer import SpecialIds, Tokenizer

SPECIAL_SLOTS = 3  # [CLS] first segment [SEP] second segment [SEP]
_CHARACTERS_AT_ONCE = 1 << 18  # enough for the tokenizer, little enough for memory


@dataclass(frozen=True)
class Packed:
    """Examples of some documents, in the order of `keys`.

    Args:
        keys: Hash of the document's ids, the example's number in it and the seed, `(N,)` uint64: equal for equal
            documents; gives the order of the corpus.
        valid: Whether the document is for validation, `(N,)`.
        first: Whether the example is the first of its document, `(N,)`.
        lengths, splits: As in `s2s.data.shards.Rows`, `(N,)`.
        values: The ids of all examples, concatenated.
        counts: Documents read, kept and left out, by reason.
    """

    keys: NDArray[np.uint64]
    valid: NDArray[np.bool_]
    first: NDArray[np.bool_]
    lengths: NDArray[np.int32]
    splits: NDArray[np.int32]
    values: NDArray[np.int32]
    counts: Counter[str]


class _Row(NamedTuple):
    key: int
    valid: bool
    first: bool
    ids: list[int]
    split: int


@dataclass(frozen=True)
class Tokenizing:
    """How documents become examples; a document that shares a run of words with an exclusion is left out."""

    settings: Settings
    tokenizer: Tokenizer
    exclusions: Sequence[Exclusion]

    def __call__(self, part: Iterable[Raw]) -> Packed:
        """The examples of some documents; raises InputError for a bad record of JSON lines."""
        counts: Counter[str] = Counter()
        rows: list[_Row] = []
        batch: list[list[str]] = []
        size = 0
        for text in self._texts(part, counts):
            batch.append(sentences(text))
            size += len(text)
            if size > _CHARACTERS_AT_ONCE:
                rows += self._rows(batch, counts)
                batch, size = [], 0
        rows += self._rows(batch, counts)
        return _packed(rows, counts)

    def _texts(self, part: Iterable[Raw], counts: Counter[str]) -> Iterator[str]:
        for raw in part:
            counts["documents read"] += raw.piece == 0
            counts["bytes read"] += len(raw.content)
            try:
                text = text_of(raw, self.settings.field)
            except UnicodeError:
                counts["left out: documents with broken UTF-8"] += 1
                continue
            for number, piece in enumerate(_pieces(text), start=raw.piece):
                counts["cut: documents longer than 1 MiB"] += number == 1
                if reason := self._reason_against(piece):
                    counts[reason] += 1
                else:
                    yield piece

    def _reason_against(self, text: str) -> str | None:
        if not text.strip():
            return "left out: empty documents"
        found = next((exclusion.name for exclusion in self.exclusions if exclusion.matches(text)), None)
        return None if found is None else f"left out: documents that share words with {found}"

    def _rows(self, documents: Sequence[Sequence[str]], counts: Counter[str]) -> Iterator[_Row]:
        encoded = iter(self.tokenizer.encode_many([sentence for document in documents for sentence in document]))
        for document in documents:
            ids = [next(encoded) for _ in document]
            if sum(map(len, ids)) < self.settings.min_tokens:
                counts[f"left out: documents of fewer than {self.settings.min_tokens} tokens"] += 1
                continue
            counts["documents kept, duplicates among them"] += 1
            yield from self._examples(ids, counts)

    def _examples(self, ids: Sequence[Sequence[int]], counts: Counter[str]) -> Iterator[_Row]:
        min_tokens = self.settings.min_tokens
        document = hashlib.blake2b(digest_size=16, key=self.settings.seed.to_bytes(8, "little"))
        for sentence in ids:
            document.update(np.array([len(sentence), *sentence], dtype="<u4").tobytes())
        digest = document.digest()
        valid = _number(digest) < self.settings.valid_share * 2.0**64
        found = list(groups(ids, self.settings.max_length))
        kept = [group for group in found if sum(map(len, group)) >= min_tokens]
        counts[f"left out: parts of documents, of fewer than {min_tokens} tokens"] += len(found) - len(kept)
        for index, group in enumerate(kept):
            key = _number(hashlib.blake2b(index.to_bytes(8, "little"), digest_size=8, key=digest).digest())
            yield _Row(key, valid, index == 0, *two_segments(group, key, self.tokenizer.special))


def groups(sentences: Iterable[Sequence[int]], max_length: int) -> Iterator[list[Sequence[int]]]:
    """Runs of consecutive sentences that fit into one input of `max_length` slots, including the special tokens.

    A sentence that is too long is divided.
    """
    room = max_length - SPECIAL_SLOTS
    group: list[Sequence[int]] = []
    size = 0
    for sentence in sentences:
        for start in range(0, len(sentence), room):
            piece = sentence[start : start + room]
            if size + len(piece) > room:
                yield group
                group, size = [], 0
            group.append(piece)
            size += len(piece)
    if group:
        yield group


def two_segments(group: Sequence[Sequence[int]], chance: int, special: SpecialIds) -> tuple[list[int], int]:
    """`(ids, split)`: one input, divided between two sentences that `chance` chooses; see `s2s.data.shards`.

    Source: UniLMv2 (arXiv 2002.12804), input representation: [SOS] S1 [EOS] S2 [EOS]. A single sentence stays one.
    """
    first = 1 + chance % (len(group) - 1) if len(group) > 1 else 1
    ids = [special.cls, *chain(*group[:first]), special.sep]
    split = len(ids)
    if len(group) > 1:
        ids += [*chain(*group[first:]), special.sep]
    return ids, split


def _pieces(text: str) -> Iterator[str]:
    """The text, or its parts if it is overlong, as a JSON record's may be."""
    if len(text) <= LONGEST // 4:  # cannot be longer than LONGEST in bytes
        yield text
        return
    content = text.encode("utf-8")
    while len(content) > LONGEST:
        end = cut(content)
        yield content[:end].decode("utf-8")
        content = content[end:]
    yield content.decode("utf-8")


def _number(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "little")


def _packed(rows: list[_Row], counts: Counter[str]) -> Packed:
    rows.sort(key=lambda row: (row.valid, row.key, row.ids))
    ids = [row.ids for row in rows]
    return Packed(
        keys=np.array([row.key for row in rows], dtype=np.uint64),
        valid=np.array([row.valid for row in rows], dtype=np.bool_),
        first=np.array([row.first for row in rows], dtype=np.bool_),
        lengths=np.array([len(row) for row in ids], dtype=np.int32),
        splits=np.array([row.split for row in rows], dtype=np.int32),
        values=np.fromiter(chain.from_iterable(ids), dtype=np.int32, count=sum(map(len, ids))),
        counts=counts,
    )
