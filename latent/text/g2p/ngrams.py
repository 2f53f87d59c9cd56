"""Probabilities of sequences of numbers: n-grams with modified Kneser-Ney smoothing, pruned, in sorted arrays.

Smoothing: Chen and Goodman, "An Empirical Study of Smoothing Techniques for Language Modeling" (1998), section 3.
Pruning: Stolcke, "Entropy-based Pruning of Backoff Language Models" (1998), with counted instead of modeled histories.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

EDGE = 0
"""The number before and after each sequence."""
ORDER = 8
_STEPS = 20  # of a logarithm that is kept in one byte
_Numbers = NDArray[np.int64]
_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Level:
    """The n-grams of one length, sorted. M of them.

    Args:
        key: Place of the first n - 1 numbers in the level below, times the vocabulary, plus the last number, `(M,)`.
        suffix: Place of the last n - 1 numbers in the level below, `(M,)`.
        share: Probability of the last number after the others, `(M,)`.
        backoff: Factor of the level below for what does not follow, `(M,)`.
    """

    key: _Numbers
    suffix: _Numbers
    share: _Floats
    backoff: _Floats


class Ngrams:
    """What follows what. A state holds the known endings of what has been read: their places by length, -1 for none."""

    def __init__(self, vocabulary: int, levels: Sequence[tuple[_Numbers, _Floats, _Floats]]) -> None:
        """`levels`: for each length the sorted keys, logarithms of shares, and of backoffs."""
        self.vocabulary, self._levels = vocabulary, levels

    @classmethod
    def learn(cls, sequences: Sequence[Sequence[int]], vocabulary: int, most: int) -> Ngrams:
        """N-grams of sequences of 1 to `vocabulary` - 1; at most about `most` of three and more numbers are kept."""
        levels, counts = _counted(sequences, vocabulary)
        return cls(vocabulary, [_rounded(level) for level in _pruned(levels, counts, vocabulary, most)])

    def start(self) -> _Numbers:
        """The state before a sequence, `(1, ORDER - 1)`."""
        state = np.full((1, ORDER - 1), -1)
        state[0, 0] = EDGE
        return state

    def after(self, states: _Numbers, numbers: _Numbers) -> tuple[_Floats, _Numbers]:
        """Log probabilities `(H, C)` of C numbers after H states, and the states after them `(H, C, ORDER - 1)`."""
        score = np.broadcast_to(self._levels[0][1][numbers], (len(states), len(numbers))).copy()
        places = np.full((*score.shape, ORDER), -1)
        places[..., 0] = numbers
        for length, (key, shares, _) in enumerate(self._levels[1:], start=1):
            if not len(key):
                break
            rows = np.flatnonzero(states[:, length - 1] >= 0)
            before = states[rows, length - 1]
            wanted = before[:, None] * self.vocabulary + numbers
            place = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
            known = key[place] == wanted
            backoff = self._levels[length - 1][2][before]
            score[rows] = np.where(known, shares[place], score[rows] + backoff[:, None])
            places[rows, :, length] = np.where(known, place, -1)
        return score, places[..., : ORDER - 1]

    def arrays(self) -> dict[str, NDArray[np.unsignedinteger]]:
        """All it knows, in small numbers that compress well."""
        found: dict[str, NDArray[np.unsignedinteger]] = {}
        size = 1
        for length, (key, share, backoff) in enumerate(self._levels, start=1):
            children = np.bincount(key // self.vocabulary, minlength=size) if length > 1 else np.array([len(key)])
            found |= {
                f"{length}.children": children.astype(np.uint16),
                f"{length}.last": (key % self.vocabulary).astype(np.uint16),
                f"{length}.share": np.round(-share * _STEPS).astype(np.uint8),
                f"{length}.backoff": np.round(-backoff * _STEPS + 128).astype(np.uint8),
            }
            size = len(key)
        return found

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[np.unsignedinteger]], vocabulary: int) -> Ngrams:
        """What `arrays` gave; raises KeyError or ValueError if something is missing or does not fit."""
        levels: list[tuple[_Numbers, _Floats, _Floats]] = []
        for length in range(1, ORDER + 1):
            children, last, share, backoff = (
                arrays[f"{length}.{name}"].astype(np.int64) for name in ("children", "last", "share", "backoff")
            )
            if length > 1 and len(children) != len(levels[-1][0]):
                raise ValueError(f"n-grams of length {length} do not fit those before")
            key = np.repeat(np.arange(len(children)), children) * vocabulary + last
            levels.append((key, share / -_STEPS, (backoff - 128) / -_STEPS))
        return cls(vocabulary, levels)


def _rounded(level: _Level) -> tuple[_Numbers, _Floats, _Floats]:
    """The keys of a level and its logarithms, in the steps in which they are kept."""
    share, backoff = (np.round(np.log(np.maximum(of, 1e-30)) * _STEPS) for of in (level.share, level.backoff))
    return level.key, np.clip(share, -255, 0) / _STEPS, np.clip(backoff, -127, 127) / _STEPS


def _counted(sequences: Sequence[Sequence[int]], vocabulary: int) -> tuple[list[_Level], list[_Floats]]:
    """The smoothed n-grams of all lengths, and how often each occurs."""
    text = np.concatenate([[EDGE, *sequence, EDGE] for sequence in sequences]).astype(np.int64)
    position = np.concatenate([np.arange(len(sequence) + 2) for sequence in sequences])
    keys, suffixes, counts, starts = [np.arange(vocabulary)], [np.zeros(vocabulary, np.int64)], [], []
    place = text  # of the n-gram that ends here, among those of its length
    for length in range(1, ORDER + 1):
        ends = position >= length - 1
        if length > 1:
            key, found = np.unique(place[np.flatnonzero(ends) - 1] * vocabulary + text[ends], return_inverse=True)
            suffix = np.zeros(len(key), np.int64)
            suffix[found] = place[ends]
            place = np.full(len(text), -1)
            place[ends] = found
            keys, suffixes = [*keys, key], [*suffixes, suffix]
        size = len(keys[-1])
        counts.append(np.bincount(place[position >= max(1, length - 1)], minlength=size).astype(np.float64))
        starts.append(
            np.bincount(place[position == length - 1], minlength=size) > 0 if length > 1 else np.zeros(size, bool)
        )
    return _smoothed(keys, suffixes, counts, starts, vocabulary), counts


def _smoothed(
    keys: list[_Numbers], suffixes: list[_Numbers], counts: list[_Floats], starts: list[NDArray[np.bool_]], base: int
) -> list[_Level]:
    """Modified Kneser-Ney: shorter n-grams count how many different numbers stand before them."""
    levels: list[_Level] = []
    for index, key in enumerate(keys):
        count = counts[index]
        if index < ORDER - 1:
            count = np.where(starts[index], count, np.bincount(suffixes[index + 1], minlength=len(key)))
        less = _discounts(count)
        if index == 0:
            share = (count - less + less.sum() / len(key)) / count.sum()
        else:
            lower = levels[-1]
            before, size = key // base, len(lower.key)
            total = np.maximum(np.bincount(before, count, size), 1e-9)
            backoff = np.where(total > 1e-9, np.bincount(before, less, size) / total, 1.0)
            levels[-1] = replace(lower, backoff=backoff)
            share = (count - less) / total[before] + backoff[before] * lower.share[suffixes[index]]
        levels.append(_Level(key, suffixes[index], share, np.ones(len(key))))
    return levels


def _discounts(count: _Floats) -> _Floats:
    """What is taken from each count, for what was never seen: one amount for 1, for 2, and for 3 and more."""
    ones, twos, threes, fours = ((count == times).sum() for times in (1, 2, 3, 4))
    rate = ones / (ones + 2 * twos) if ones else 0.5
    more = [(twos, ones), (threes, twos), (fours, threes)]
    taken = [times - (times + 1) * rate * next_ / max(1, this) for times, (next_, this) in enumerate(more, start=1)]
    return np.array([0.0, *np.maximum(taken, 0.05)])[np.minimum(count, 3).astype(np.int64)]


def _pruned(levels: list[_Level], counts: list[_Floats], base: int, most: int) -> list[_Level]:
    """Without the long n-grams whose loss changes the model least; what others need stays."""
    total = counts[0].sum()
    losses = []
    for index in range(2, ORDER):
        level, lower = levels[index], levels[index - 1]
        instead = lower.backoff[level.key // base] * lower.share[level.suffix]
        losses.append(np.maximum(0, counts[index] / total * np.log(level.share / instead)))
    together = np.concatenate(losses)
    least = np.partition(together, -most)[-most] if most < len(together) else 0.0
    kept = [np.ones(len(level.key), bool) for level in levels]
    needed = np.zeros(len(levels[-1].key), bool)
    for index in range(ORDER - 1, 1, -1):
        kept[index] = needed | (losses[index - 2] >= least)
        needed = np.zeros(len(levels[index - 1].key), bool)
        for shorter in (levels[index].key // base, levels[index].suffix):
            needed[shorter[kept[index]]] = True
    return _without(levels, kept, base)


def _without(levels: list[_Level], kept: list[NDArray[np.bool_]], base: int) -> list[_Level]:
    """Only the n-grams that are kept, with the backoffs that make probabilities add up to 1 again."""
    found = [levels[0]]
    place = np.arange(base)
    for level, keep in zip(levels[1:], kept[1:], strict=True):
        before, suffix = place[level.key[keep] // base], place[level.suffix[keep]]
        lower, share = found[-1], level.share[keep]
        own = np.bincount(before, share, len(lower.key))
        theirs = np.bincount(before, lower.share[suffix], len(lower.key))
        backoff = np.maximum(1 - own, 1e-6) / np.maximum(1 - theirs, 1e-6)
        found[-1] = replace(lower, backoff=backoff)
        found.append(_Level(before * base + level.key[keep] % base, suffix, share, np.ones(len(share))))
        place = np.cumsum(keep) - 1
    return found
