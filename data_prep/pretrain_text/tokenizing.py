"""Documents to examples: decoding, exclusion, sentences, ids, packing. The work of one process on one part."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_prep.pretrain_text.exclusion import Exclusion
from data_prep.pretrain_text.packing import groups, two_segments
from data_prep.pretrain_text.raw_text import LONGEST, Raw, cut, text_of
from s2s.data.sentences import sentences
from s2s.data.tokenizer import Tokenizer

_CHARACTERS_AT_ONCE = 1 << 18
"""Text tokenized at a time: enough for the tokenizer, little enough for memory."""


@dataclass(frozen=True)
class Packed:
    """Examples of some documents, in the order of `keys`.

    Args:
        keys: A random number for each example, from its document's ids, its number in it and the seed: equal for equal
            documents, and otherwise the order of the corpus, `(N,)` uint64.
        valid: Whether the document is for validation, `(N,)`.
        first: Whether the example is the first of its document, `(N,)`.
        lengths, splits: As `s2s.data.shards.Rows` has them, `(N,)`.
        values: The ids of all examples one after another.
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
    """How documents become examples.

    Args:
        tokenizer: Text to ids.
        exclusions: Test sets that no document may share a run of words with.
        field: The field of JSON lines that holds the text.
        max_length: Most slots of an example, special tokens counted.
        min_tokens: Documents, and last parts of documents, of fewer tokens are left out.
        valid_share: Share of the documents for validation.
        seed: Fixes validation documents, order and division into segments.
    """

    tokenizer: Tokenizer
    exclusions: Sequence[Exclusion]
    field: str
    max_length: int
    min_tokens: int
    valid_share: float
    seed: int

    def __call__(self, part: Iterable[Raw]) -> Packed:
        """The examples of some documents.

        Raises:
            InputError: a record of JSON lines is bad.
        """
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
        """The texts of the documents that are kept."""
        for raw in part:
            counts["documents read"] += raw.piece == 0
            counts["bytes read"] += len(raw.content)
            try:
                text = text_of(raw, self.field)
            except UnicodeError:
                counts["left out: documents with broken UTF-8"] += 1
                continue
            for number, piece in enumerate(_pieces(text), start=raw.piece):
                counts["cut: documents longer than 1 MiB"] += number == 1
                reason = self._reason_against(piece)
                if reason:
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
            size = sum(map(len, ids))
            if size < self.min_tokens:
                counts[f"left out: documents of fewer than {self.min_tokens} tokens"] += 1
                continue
            counts["documents kept, duplicates among them"] += 1
            yield from self._examples(ids, counts)

    def _examples(self, ids: Sequence[Sequence[int]], counts: Counter[str]) -> Iterator[_Row]:
        document = hashlib.blake2b(digest_size=16, key=self.seed.to_bytes(8, "little"))
        for sentence in ids:
            document.update(np.array([len(sentence), *sentence], dtype="<u4").tobytes())
        digest = document.digest()
        valid = _number(digest) < self.valid_share * 2.0**64
        found = list(groups(ids, self.max_length))
        kept = [group for group in found if sum(map(len, group)) >= self.min_tokens]
        counts[f"left out: parts of documents, of fewer than {self.min_tokens} tokens"] += len(found) - len(kept)
        for index, group in enumerate(kept):
            key = _number(hashlib.blake2b(index.to_bytes(8, "little"), digest_size=8, key=digest).digest())
            yield _Row(key, valid, index == 0, *two_segments(group, key, self.tokenizer.special))


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
        values=np.fromiter((id for row in ids for id in row), dtype=np.int32, count=sum(map(len, ids))),
        counts=counts,
    )
