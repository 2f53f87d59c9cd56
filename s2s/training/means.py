"""Means of a criterion's sums over batches, updates and ranks."""

from __future__ import annotations

import time

from torch import Tensor

from s2s.nn.precision import widened
from s2s.ranks import Ranks


class Means:
    """Sums of this rank and weights of all ranks, added up over updates, with the time they took."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor | float] = {}
        self._weights: dict[str, float] = {}
        self._updates = 0
        self._seconds = 0.0
        self._since = time.perf_counter()

    def add(self, sums: dict[str, Tensor]) -> None:
        """Add the sums of one batch of this rank."""
        for name, value in sums.items():
            self._sums[name] = self._sums.get(name, 0.0) + widened(value.detach())

    def count_update(self, weights: dict[str, float]) -> float:
        """Add the global weights of an update; returns the seconds since the last one."""
        for name, value in weights.items():
            self._weights[name] = self._weights.get(name, 0.0) + value
        now = time.perf_counter()
        passed, self._since = now - self._since, now
        self._seconds += passed
        self._updates += 1
        return passed

    def resume_clock(self) -> None:
        """Do not count the time since the last update."""
        self._since = time.perf_counter()

    def read(self, ranks: Ranks) -> dict[str, float]:
        """The mean over all ranks under each name; every rank must call it."""
        names = [name for name in self._weights if name != "tokens"]
        totals = ranks.sum([float(self._sums.get(name, 0.0)) for name in names])
        return {name: total / (self._weights[name] or 1.0) for name, total in zip(names, totals, strict=True)}

    @property
    def seconds(self) -> float:
        """Time of all updates."""
        return self._seconds

    @property
    def tokens_per_s(self) -> float:
        """Tokens per second over all ranks."""
        return self._weights["tokens"] / self._seconds

    @property
    def seconds_per_update(self) -> float:
        """Mean duration of an update."""
        return self._seconds / self._updates
