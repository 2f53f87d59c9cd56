"""Batches by length under a token budget; (seed, epoch) alone fixes their order, so resuming costs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from s2s.errors import ConfigError

_BLUR = 0.05
"""Lengths are blurred by up to this share before sorting, so that batches do not repeat each epoch."""
_BANDS = 3
"""Bands for each square root of the number of batches; 2 to 4 pad the least on log-normal lengths (4 to 8 %)."""


class BatchSampler:
    """Index batches whose padded size keeps a budget; examples of similar length go together.

    The state of a reader is (epoch, position): `epoch(e)[position:]` is the rest of an interrupted epoch.

    Args:
        lengths: Slots of each example, `(N,)`; or of each of its separately padded blocks, `(N, blocks)`.
        max_tokens: Maximum slots of a batch, padding included: examples x sum of each block's longest.
        max_sentences: Maximum examples in a batch; None leaves it to `max_tokens`.
        shuffle: A new order each epoch. False gives the same batches every time, short sources first.

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
        self._max_tokens, self._max_sentences = max_tokens, max_sentences
        self._seed, self._shuffle = seed, shuffle
        longest = int(self._totals.max(initial=0))
        if longest > max_tokens:
            raise ConfigError(
                f"max_tokens must be at least {longest}, the slots of the longest example "
                f"(number {self._totals.argmax()}), found {max_tokens}"
            )

    def epoch(self, epoch: int) -> list[list[int]]:
        """The batches of an epoch: every index once."""
        if not self._shuffle:
            return self._cut(self._by_length(self._blocks))
        generator = np.random.default_rng([self._seed, epoch])
        batches = self._cut(self._by_length(self._blocks * generator.uniform(1 - _BLUR, 1 + _BLUR, self._blocks.shape)))
        return [batches[i] for i in generator.permutation(len(batches))]

    def padding(self, epoch: int) -> float:
        """Share of an epoch's slots that are padding."""
        return 1 - float(self._totals.sum()) / sum(map(self._size, self.epoch(epoch)))

    def largest(self, epoch: int) -> list[int]:
        """The batch with the most slots."""
        return max(self.epoch(epoch), key=self._size)

    def _size(self, batch: list[int]) -> int:
        return len(batch) * int(self._blocks[batch].max(axis=0).sum())

    def _by_length(self, lengths: NDArray[Any]) -> NDArray[np.int64]:
        """Indices in bands of similar first blocks, each band by its other blocks, up and down in turns.

        Sorting by the total alone would put a long source with a short target beside the opposite.
        """
        order = np.argsort(lengths[:, 0], kind="stable")
        num_batches = self._totals.sum() / self._max_tokens
        num_bands = 1 + int(_BANDS * num_batches**0.5)
        band = np.arange(len(order)) * num_bands // max(1, len(order))
        others = lengths[order, 1:].sum(axis=1)
        return order[np.lexsort((np.where(band % 2, -others, others), band))]

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
