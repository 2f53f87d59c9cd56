"""Keys and values of sequences that grow at their own pace: each row has its own length.

A row's slot t holds its t-th token; attention ignores slots from its length on. So a row that pauses does not grow, a
row that starts again has length 0, and nothing is moved.

Axes: B rows, T new tokens, H heads of queries, G heads of keys and values, D width of a head.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import torch
from torch import Tensor

from latent.nn.transformer import CausalBlock, LayerAttention, causal_attention, run_blocks
from s2s.errors import InputError
from s2s.nn.attention import attend
from s2s.nn.masks import additive


class RowCache:
    """Keys and values of B rows, with device and type of the tensor `like`."""

    def __init__(
        self, num_layers: int, batch: int, num_kv_heads: int, capacity: int, head_dim: int, like: Tensor
    ) -> None:
        self._buffer = like.new_zeros(num_layers, 2, batch, num_kv_heads, capacity, head_dim)
        self.lengths = torch.zeros(batch, dtype=torch.int64, device=like.device)
        self.shifts = torch.zeros_like(self.lengths)
        """Position id minus slot of each row's next tokens."""
        self._limits = torch.full_like(self.lengths, capacity)
        self._used = 0  # an upper bound of the lengths, known without a synchronization with the device

    @property
    def buffer(self) -> Tensor:
        """Keys and values, `(layers, 2, B, G, capacity, D)`."""
        return self._buffer

    @property
    def capacity(self) -> int:
        """Maximum number of tokens in a row."""
        return self._buffer.shape[4]

    def grow(self, counts: Tensor, most: int) -> None:
        """Make rows longer by `counts` `(B,)` tokens, each at most `most`."""
        self.lengths = self.lengths + counts
        self._used += most

    def settle(self) -> None:
        """Forget that all rows might have grown where some have; waits for the device."""
        self._used = int(self.lengths.max())

    def fill(self, row: int, layers: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Start a row with stored keys and values `(G, T, D)` of each layer.

        Raises:
            InputError: they are more than the capacity.
        """
        length = layers[0][0].shape[1]
        if length > self.capacity:
            raise InputError(f"the stored prompt has {length} positions, the capacity is {self.capacity}")
        for layer, (keys, values) in enumerate(layers):
            self._buffer[layer, 0, row, :, :length] = keys
            self._buffer[layer, 1, row, :, :length] = values
        self.lengths = self.lengths.index_fill(0, torch.tensor([row], device=self.lengths.device), length)
        self._used = max(self._used, length)

    def stored(self, row: int) -> list[tuple[Tensor, Tensor]]:
        """Keys and values `(G, T, D)` of each layer in a row, as `fill` takes them."""
        length = int(self.lengths[row])
        return [(layer[0, row, :, :length].clone(), layer[1, row, :, :length].clone()) for layer in self._buffer]

    def forget(self, rows: Tensor) -> None:
        """Drop the last token of rows `(B,)` bool."""
        self.lengths = self.lengths - rows.long()

    def clear(self, rows: Tensor) -> None:
        """Drop all tokens of rows `(B,)` bool."""
        self.lengths = self.lengths.masked_fill(rows, 0)
        self.shifts = self.shifts.masked_fill(rows, 0)

    def select(self, rows: Tensor) -> None:
        """Keep some rows `(B',)`, in this order, with the capacity that the largest of them began with."""
        self._set_rows([table.index_select(0, rows) for table in self._tables()])
        capacity = int(self._limits.max()) if len(rows) else 0
        self._buffer = self._buffer[..., :capacity, :].index_select(2, rows)

    def add(self, other: RowCache, order: Tensor) -> None:
        """Take in the rows of another cache of the same layers; the capacity is the larger one of both.

        Args:
            order: Order of all rows, `(B + B',)` int64: indices into the rows of this cache, then those of the other.
        """
        layers, kinds, _, heads, _, width = self._buffer.shape
        capacity = max(self.capacity, other.capacity)
        joined = self._buffer.new_zeros(layers, kinds, len(order), heads, capacity, width)
        places = order.argsort()
        for cache, rows in ((self, places[: len(self.lengths)]), (other, places[len(self.lengths) :])):
            joined[..., : cache._used, :].index_copy_(2, rows, cache._buffer[..., : cache._used, :])
        self._buffer = joined
        pairs = zip(self._tables(), other._tables(), strict=True)
        self._set_rows([torch.cat(pair).index_select(0, order) for pair in pairs])

    def _tables(self) -> list[Tensor]:
        return [self.lengths, self.shifts, self._limits]

    def _set_rows(self, tables: list[Tensor]) -> None:
        self.lengths, self.shifts, self._limits = tables
        self._used = int(self.lengths.max()) if len(self.lengths) else 0

    def open(self, tokens: int) -> CacheSlots:
        """Slots for the next tokens of each row, which count only after `grow`.

        Raises:
            InputError: the longest row would exceed the capacity.
        """
        if self._used + tokens > self.capacity:
            raise InputError(
                f"the sequence would reach {self._used + tokens} positions, the capacity is {self.capacity}; "
                "give a larger capacity or a shorter input"
            )
        return CacheSlots(self._buffer, self.lengths, self._used, tokens)


def joined_order(here: int, more: int, streams: int, device: torch.device) -> Tensor:
    """Order for `RowCache.add` where each stream has a block of rows: in each those that are `here`, then `more`."""
    parts = [
        torch.cat([stream * here + torch.arange(here), streams * here + stream * more + torch.arange(more)])
        for stream in range(streams)
    ]
    return torch.cat(parts).to(device)


def extend(
    blocks: Iterable[CausalBlock], cache: RowCache, x: Tensor, theta: float, positions: Tensor | None = None
) -> Tensor:
    """Run all blocks of a cache over the next T tokens of each row, which count only after `RowCache.grow`.

    Args:
        blocks: In order.
        cache: Takes their keys and values.
        x: `(B, T, hidden_size)`, the shape of the result too.
        theta: Base of the rotary frequencies.
        positions: Position ids, broadcastable to `(B, T)`; None: those that follow in each row.
    """
    slots = cache.open(x.shape[1])
    if positions is None:
        positions = slots.positions + cache.shifts.unsqueeze(1)
    return run_blocks(blocks, x, positions, theta, slots.attention)


class CacheSlots:
    """Where the next T tokens of each row are stored, and what they attend to; see `RowCache.open`."""

    def __init__(self, buffer: Tensor, lengths: Tensor, used: int, tokens: int) -> None:
        self._buffer, self._stop = buffer, used + tokens
        self._rows = torch.arange(len(lengths), device=lengths.device).unsqueeze(1)
        self.positions = lengths.unsqueeze(1) + torch.arange(tokens, device=lengths.device)  # (B, T)
        self._bias: Tensor | None = None
        if used:
            slots = torch.arange(self._stop, device=lengths.device)
            self._bias = additive(slots <= self.positions.unsqueeze(-1), buffer.dtype).unsqueeze(1)  # (B, 1, T, stop)

    def attention(self, layer: int) -> LayerAttention:
        """The attention of a layer: stores the new keys and values, then attends to all of the row."""
        return partial(self._attend, layer)

    def _attend(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        stored_keys, stored_values = self._buffer[layer]
        stored_keys[self._rows, :, self.positions] = keys.transpose(1, 2)
        stored_values[self._rows, :, self.positions] = values.transpose(1, 2)
        if self._bias is None:
            return causal_attention(queries, keys, values)
        stored_keys, stored_values = stored_keys[:, :, : self._stop], stored_values[:, :, : self._stop]
        if queries.shape[2] > 1:
            return attend(queries, stored_keys, stored_values, self._bias)
        # One token: the heads that share keys become the queries of one head, so that keys are not copied.
        grouped = queries.view(queries.shape[0], keys.shape[1], -1, queries.shape[3])
        return attend(grouped, stored_keys, stored_values, self._bias).reshape(queries.shape)
