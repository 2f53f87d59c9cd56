"""Batches by length under a token budget; (seed, epoch) alone fixes their order, so resuming costs nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from s2s.errors import ConfigError

_JITTER = 0.1
"""Lengths are blurred by up to this share before sorting, so that examples of a batch are not the same every epoch."""


class BatchSampler:
    """Index batches whose padded size keeps a budget; examples of similar length go together.

    The state of a reader is (epoch, position): `epoch(e)[position:]` is the rest of an interrupted epoch.

    Args:
        lengths: Slots of each example, `(N,)`; or of each of its separately padded blocks, `(N, blocks)`.
        max_tokens: Most slots a batch may take, padding included: examples x sum of each block's longest.
        max_sentences: Most examples in a batch; None leaves it to `max_tokens`.
        seed: Fixes the order of every epoch.
        shuffle: A new order each epoch. False gives the same batches every time, shortest first.

    Raises:
        ConfigError: an example alone is larger than `max_tokens`.
    """

    def __init__(
        self,
        lengths: ArrayLike | Sequence[int],
        max_tokens: int,
        max_sentences: int | None = None,
        seed: int = 0,
        shuffle: bool = True,
    ) -> None:
        blocks = np.asarray(lengths, dtype=np.int64)
        self._blocks = blocks[:, None] if blocks.ndim == 1 else blocks
        self._totals = self._blocks.sum(axis=1)
        self._max_tokens = max_tokens
        self._max_sentences = max_sentences
        self._seed = seed
        self._shuffle = shuffle
        longest = int(self._totals.max(initial=0))
        if longest > max_tokens:
            index = int(self._totals.argmax())
            raise ConfigError(
                f"max_tokens must be at least {longest}, the slots of the longest example (number {index}), "
                f"found {max_tokens}"
            )

    def epoch(self, epoch: int) -> list[list[int]]:
        """The batches of an epoch: every index once."""
        if not self._shuffle:
            return self._cut(np.argsort(self._totals, kind="stable"))
        generator = np.random.default_rng([self._seed, epoch])
        blurred = self._totals * generator.uniform(1 - _JITTER, 1 + _JITTER, len(self._totals))
        batches = self._cut(np.argsort(blurred, kind="stable"))
        return [batches[i] for i in generator.permutation(len(batches))]

    def _cut(self, order: NDArray[np.int64]) -> list[list[int]]:
        """Runs of `order`, each as long as the budget allows."""
        batches = []
        start = 0
        while start < len(order):
            end = start + self._fitting(order[start:])
            batches.append(order[start:end].tolist())
            start = end
        return batches

    def _fitting(self, order: NDArray[np.int64]) -> int:
        """How many of the first examples fit into one batch."""
        most = self._max_tokens // max(1, int(self._totals[order[0]]))
        if self._max_sentences is not None:
            most = min(most, self._max_sentences)
        longest = np.maximum.accumulate(self._blocks[order[:most]], axis=0).sum(axis=1)
        costs = longest * np.arange(1, len(longest) + 1)
        return int(np.searchsorted(costs, self._max_tokens, side="right"))
