"""Sentences of one document into inputs of two segments, as full as whole sentences allow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from s2s.data.tokenizer import SpecialIds

SPECIAL_SLOTS = 3
"""[CLS] first segment [SEP] second segment [SEP]"""


def groups(sentences: Iterable[Sequence[int]], max_length: int) -> Iterator[list[Sequence[int]]]:
    """Runs of consecutive sentences that fit into one input; a sentence longer than that is divided.

    Args:
        sentences: Ids of each sentence.
        max_length: Most slots of an input, special tokens counted.
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
    ids = [special.cls, *_joined(group[:first]), special.sep]
    split = len(ids)
    if len(group) > 1:
        ids += [*_joined(group[first:]), special.sep]
    return ids, split


def _joined(sentences: Sequence[Sequence[int]]) -> list[int]:
    return [id for sentence in sentences for id in sentence]
