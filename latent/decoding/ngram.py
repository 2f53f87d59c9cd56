"""A language model of n-grams over tokens, counted in texts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

EDGE = 0x10FFFF
"""Stands before and after each text; larger than any token."""


class NGrams:
    """Probabilities of the next token after the last few.

    Histories that were counted seldom lean on shorter ones, down to equal probabilities. Source: Witten and Bell, IEEE
    Transactions on Information Theory 37(4), 1991, interpolated.

    Args:
        texts: Token ids of each text; the model knows these tokens alone.
        order: Tokens of an n-gram; one is predicted from `order - 1` before it.
    """

    def __init__(self, texts: Iterable[Sequence[int]], order: int) -> None:
        self._before = order - 1
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for text in texts:
            self._count("".join(map(chr, (EDGE, *text, EDGE))))
        self._places = {token: place for place, token in enumerate(sorted(self._counts[""]))}
        self._found: dict[str, NDArray[np.float64]] = {}

    def __contains__(self, token: int) -> bool:
        return chr(token) in self._places

    def log_prob(self, before: Sequence[int], token: int) -> float:
        """Log-probability that a token, or `EDGE`, follows the tokens with which a text begins."""
        history = "".join(map(chr, (EDGE, *before)[max(0, len(before) + 1 - self._before) :]))
        return float(np.log(self._probabilities(history)[self._places[chr(token)]]))

    def _count(self, text: str) -> None:
        for place in range(1, len(text)):
            for first in range(max(0, place - self._before), place + 1):
                self._counts[text[first:place]][text[place]] += 1

    def _probabilities(self, history: str) -> NDArray[np.float64]:
        if history not in self._found:
            size = len(self._places)
            found = self._probabilities(history[1:]) if history else np.full(size, 1 / size)
            if counts := self._counts.get(history):
                seen = len(counts) * found
                for token, count in counts.items():
                    seen[self._places[token]] += count
                found = seen / (counts.total() + len(counts))
            self._found[history] = found
        return self._found[history]
