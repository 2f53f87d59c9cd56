"""A cache of rows whose tensors keep their places and shapes, so that a step that appends to it can be captured."""

from __future__ import annotations

import torch

from latent.nn.cache import CacheSlots, RowCache

_MULTIPLE = 64
"""Of slots: so few capacities occur, and kernels of attention need not copy a bias."""


class StaticRowCache(RowCache):
    """The cache of `streams` times as many rows as batches have at most, for `extend` alone.

    Each stream has a block of rows, whose first ones are in use; the others stay empty. Slots that no row has reached
    are read too and count for nothing.

    Args:
        like: A cache of the same layers, whose rows have such blocks too.
        streams: Blocks of rows.
        rows: Rows of each block.
        more: Tokens that rows may have beyond the capacity of `like`.
    """

    def __init__(self, like: RowCache, streams: int, rows: int, more: int) -> None:
        layers, _, _, heads, _, width = like.buffer.shape
        capacity = capacity_for(like, more)
        super().__init__(layers, streams * rows, heads, capacity, width, like.buffer)
        self._streams, self._rows = streams, rows
        self._grows = torch.zeros_like(self.lengths)  # 1 for rows in use

    def places(self, rows: int) -> torch.Tensor:
        """The rows that hold those of a cache with so many in each block, in its order."""
        device = self.lengths.device
        first = self._rows * torch.arange(self._streams, device=device).unsqueeze(1)
        return (first + torch.arange(rows, device=device)).flatten()

    def load(self, cache: RowCache) -> None:
        """Take in the rows of a cache like `like`."""
        places = self.places(len(cache.lengths) // self._streams)
        self._buffer[..., : cache.capacity, :].index_copy_(2, places, cache.buffer)
        for mine, theirs in ((self.lengths, cache.lengths), (self.shifts, cache.shifts)):
            mine.zero_()
            mine.index_copy_(0, places, theirs)
        self._grows.zero_()
        self._grows.index_fill_(0, places, 1)

    def give_back(self, cache: RowCache, tokens: int) -> None:
        """Let a cache that was loaded have grown by the `tokens` that have been appended since."""
        places = self.places(len(cache.lengths) // self._streams)
        cache.buffer.copy_(self._buffer[..., : cache.capacity, :].index_select(2, places))
        cache.grow(torch.full_like(cache.lengths, tokens), tokens)

    def grow(self, counts: torch.Tensor, most: int) -> None:
        self.lengths.add_(counts * self._grows)

    def open(self, tokens: int) -> CacheSlots:
        """All slots; there must be room, since the host does not know the lengths."""
        return CacheSlots(self._buffer, self.lengths, self.capacity - tokens, tokens)


def capacity_for(cache: RowCache, more: int) -> int:
    """The capacity of the static form of a cache whose rows may have so many tokens more."""
    return -(-(cache.capacity + more) // _MULTIPLE) * _MULTIPLE
