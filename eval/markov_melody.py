"""A Markov baseline for melodies: n-grams of the same streams that models are scored on.

A pitch depends on the pitches before it; a length on the lengths before it and on whether the note is a rest; the end
of a syllable on the length of its note and on the ends before. All know whether the last syllable of the line is
sung, as models do. Histories go on over the notes of the lines before.
Source: interpolation of Witten and Bell 1991, over a uniform distribution.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from eval.metric import Array
from s2s.data.batch import Ids
from s2s.data.melody_vocabulary import REST_PITCH, STREAMS

ORDERS = range(6)
"""Notes of history that are tried."""
_BOUNDARY = STREAMS.index("boundary")
_LINE = (-1, -1, -1)
"""Stands for the begin of a line in histories."""


Values = tuple[int, ...]
"""The streams of a note."""


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
        for values, history, is_last in _places(line):
            for given in self._givens(values, history, is_last):
                self._counts[given][values[self._stream]] += 1

    def losses(self, line: MarkovLine) -> float:
        """Sum of the negative log-probabilities of a line's notes, in nats."""
        return sum(-math.log(self.probability(*place)) for place in _places(line))

    def probability(self, values: Values, history: Sequence[Values], is_last: bool) -> float:
        """The probability of this stream's value of a note, after others, in the last syllable or before it."""
        if self._stream == _BOUNDARY and values[0] == REST_PITCH:
            return 1.0  # no syllable ends in a rest
        probability = 1.0 / self._size
        for given in reversed(self._givens(values, history, is_last)):
            if counts := self._counts.get(given):
                kinds = len(counts)
                probability = (counts[values[self._stream]] + kinds * probability) / (counts.total() + kinds)
        return probability

    def _givens(self, values: Values, history: Sequence[Values], is_last: bool) -> list[Hashable]:
        """What a value depends on, the longest history first."""
        now: tuple[Hashable, ...] = (is_last, *((), (values[0] == REST_PITCH,), (values[1],))[self._stream])
        before = [note[self._stream] for note in history[-self.order :]] if self.order else []
        histories = [(now, tuple(before[start:])) for start in range(len(before) + 1)]
        return [*histories, ((), "any")]


def _places(line: MarkovLine) -> Iterator[tuple[Values, list[Values], bool]]:
    """Each note of a line with the notes before it, and whether it sings the last syllable."""
    history: list[Values] = [*map(tuple, line.context.tolist()), _LINE]
    left = int(line.notes[:, _BOUNDARY].sum())
    for values in map(tuple, line.notes.tolist()):
        yield values, history, left == 1
        history.append(values)
        left -= values[_BOUNDARY]


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
