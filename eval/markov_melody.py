"""A Markov baseline for melodies: n-grams of the same streams that models are scored on.

A pitch depends on the pitches before it; a length on the lengths before it and on whether the note is a rest; the end
of a syllable on the length of its note and on the ends before. Histories go on over the notes of the lines before.
Source: interpolation of Witten and Bell 1991, over a uniform distribution.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from eval.metric import Array
from s2s.data.batch import Ids
from s2s.data.melody_vocabulary import REST_PITCH, STREAMS

ORDERS = range(6)
"""Notes of history that are tried."""
_LINE = (-1, -1, -1)
"""Stands for the begin of a line in histories."""


class MarkovLine(NamedTuple):
    """The notes before a line and its own, each `(N, 3)`, as values of the streams."""

    context: Ids
    notes: Ids


class NGrams:
    """Counts of one stream, for histories of up to `order` notes."""

    def __init__(self, order: int, stream: int, size: int) -> None:
        self.order, self._stream, self._size = order, stream, size
        self._counts: dict[Hashable, Counter[int]] = defaultdict(Counter)

    def add(self, line: MarkovLine) -> None:
        """Learn from a line."""
        for values, history in _places(line):
            for given in self._givens(values, history):
                self._counts[given][values[self._stream]] += 1

    def losses(self, line: MarkovLine) -> float:
        """Sum of the negative log-probabilities of a line's notes, in nats."""
        return sum(-math.log(self._probability(values, history)) for values, history in _places(line))

    def _probability(self, values: tuple[int, ...], history: Sequence[tuple[int, ...]]) -> float:
        if STREAMS[self._stream] == "boundary" and values[0] == REST_PITCH:
            return 1.0  # no syllable ends in a rest
        probability = 1.0 / self._size
        for given in reversed(self._givens(values, history)):
            if counts := self._counts.get(given):
                kinds = len(counts)
                probability = (counts[values[self._stream]] + kinds * probability) / (counts.total() + kinds)
        return probability

    def _givens(self, values: tuple[int, ...], history: Sequence[tuple[int, ...]]) -> list[Hashable]:
        """What a value depends on, the longest history first."""
        now: tuple[Hashable, ...] = ((), (values[0] == REST_PITCH,), (values[1],))[self._stream]
        before = [note[self._stream] for note in history[-self.order :]] if self.order else []
        histories = [(now, tuple(before[start:])) for start in range(len(before) + 1)]
        return [*histories, ((), "any")]


def _places(line: MarkovLine) -> Iterable[tuple[tuple[int, ...], list[tuple[int, ...]]]]:
    """Each note of a line with the notes before it."""
    history = [*map(tuple, line.context.tolist()), _LINE]
    for values in map(tuple, line.notes.tolist()):
        yield values, history
        history.append(values)


def fit(train: Sequence[MarkovLine], valid: Sequence[MarkovLine], sizes: Sequence[int]) -> list[NGrams]:
    """The n-grams of each stream, of the order that predicts the validation lines best."""
    chosen = []
    for stream, size in enumerate(sizes):
        tried = []
        for order in ORDERS:
            grams = NGrams(order, stream, size)
            for line in train:
                grams.add(line)
            tried.append((sum(map(grams.losses, valid)), order, grams))
        chosen.append(min(tried, key=lambda item: item[:2])[2])
    return chosen


def losses(grams: Sequence[NGrams], lines: Iterable[MarkovLine]) -> Array:
    """Summed losses of the streams of each line, `(lines, 3)`."""
    return np.array([[stream.losses(line) for stream in grams] for line in lines]).reshape(-1, len(STREAMS))


def orders(grams: Iterable[NGrams]) -> str:
    """The orders that were chosen, for people."""
    named = itertools.zip_longest(STREAMS, (stream.order for stream in grams))
    return ", ".join(f"{name} {order}" for name, order in named)
