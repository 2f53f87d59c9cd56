"""The pool: keys and values of a sentence and of everything generated from it, shared by all its hypotheses.

Each layer has one buffer per sentence. The source's slots come first, then, step by step, one slot for each hypothesis
of that step. A beam search may continue one hypothesis twice and drop another without copying any keys: a table says
which slots each hypothesis sees, and `select` gathers rows of that table. Example, two source slots and two hypotheses
after two steps, both continuing hypothesis 1 of the first step (1 = sees):

    slots          source   step 0   step 1
    hypothesis 0    1  1     .  1     1  .
    hypothesis 1    1  1     .  1     .  1

Mask tokens, which serve only to predict from, get the slots after these for one call; the next call overwrites them.

Axes: B sentences, K hypotheses, P slots in use, H heads, D width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from s2s.nn.attention import Attention, Bias, attend_in_groups, settled
from s2s.nn.masks import additive
from s2s.nn.positions import Relative

DROP_EVERY = 8
"""Selections after which a pool looks for slots that no hypothesis sees. Measured, 6x384, beam 5, 32 to 64 tokens: 4 to
6 % of processor time; at 4 and 16 the same within the noise."""


class Pool:
    """Keys and values of sentences while hypotheses grow.

    Args:
        buffer: Keys and values of the sources, `(layers, 2, B, H, slots, D)`, finite even at padding, in any
            type that `attend` takes; slots after the first P are free, and so are rows after the first B.
        real: Source slots that are not padding, `(B, P)` bool.
        positions: Position ids of the source slots, `(B, P)`.
    """

    def __init__(self, buffer: Tensor, real: Tensor, positions: Tensor) -> None:
        self._buffer = buffer
        self._sees = real.unsqueeze(1)  # (B, K, P); K is 1 until hypotheses part
        self._positions = positions
        self._source, self._selections = positions.shape[1], 0

    def select(self, sentences: Tensor | None, parents: Tensor) -> None:
        """See `s2s.models.base.State.select`."""
        if sentences is not None:
            used = self._sees.shape[2]
            kept = self._buffer[..., :used, :].index_select(2, sentences)
            self._buffer[:, :, : len(sentences), :, :used] = kept
            self._sees = self._sees.index_select(0, sentences)
            self._positions = self._positions.index_select(0, sentences)
        self._sees = self._sees[torch.arange(len(parents), device=parents.device).unsqueeze(1), parents]
        self._selections += 1
        if self._selections % DROP_EVERY == 0 and parents.device.type == "cpu":  # elsewhere it would wait
            self._drop_unseen(self._source)

    def join(self, other: Pool, places: Sequence[int], steps_left: int) -> None:
        """See `s2s.decoding.base.JoinableState`; `steps_left` as in `feed`."""
        self._sees[[place for place in places if place < len(self._sees)]] = False
        mine, theirs = self._drop_unseen(), other._sees.shape[2]
        rows, used = max(len(self._sees), max(places) + 1), max(mine, theirs)
        if rows > self._buffer.shape[2] or used > self._buffer.shape[4]:
            self._move(rows, used + steps_left * self._sees.shape[1])
        self._buffer[:, :, :rows, :, mine:used] = 0  # hidden, but it must be finite
        self._buffer[:, :, places, :, :used] = F.pad(other._rows()[..., :theirs, :], (0, 0, 0, used - theirs))
        pads = (0, used - mine), (0, used - theirs)
        self._sees = placed(F.pad(self._sees, pads[0]), F.pad(other._sees, pads[1]), places)
        self._positions = placed(F.pad(self._positions, pads[0]), F.pad(other._positions, pads[1]), places)

    def _drop_unseen(self, first: int = 0) -> int:
        """Close the gaps from the slot `first` on where no hypothesis of a sentence sees anything, if this halves them.

        Of the slots of a step, which are as many as hypotheses, few are seen for long: hypotheses share ancestors.

        Returns:
            The number of slots in use.
        """
        used, tail = self._sees.shape[2], self._sees[..., first:]
        seen = tail.any(1)  # (B, P - first)
        longest = int(seen.sum(1).max())
        if 2 * longest > used - first:
            return used
        slots = seen.long().sort(dim=1, descending=True, stable=True).indices[:, :longest]  # (B, longest)
        layers, kinds, _, heads, _, width = self._buffer.shape
        kept = self._rows()[..., first:used, :].gather(
            4, slots[None, None, :, None, :, None].expand(layers, kinds, -1, heads, -1, width)
        )
        if first:
            self._rows()[..., first : first + longest, :] = kept
        else:
            self._buffer = kept
        self._sees = _rearranged(self._sees, first, slots.unsqueeze(1).expand(-1, self._sees.shape[1], -1))
        self._positions = _rearranged(self._positions, first, slots)
        return first + longest

    def feed(self, positions: Tensor, remembered: int, steps_left: int, relative: Relative | None = None) -> Fed:
        """Add G tokens to each hypothesis; each sees the ones before it.

        Args:
            positions: Position ids of the tokens, `(B, G)`, the same for all hypotheses of a sentence.
            remembered: How many of the G, from the first on, later calls see too.
            steps_left: The maximum number of later calls, to size the buffer once.
            relative: What positions add to the scores, if anything.

        Returns:
            The attention of each layer, for rows `(B, G K, ...)`: all hypotheses of the first token, then of the
            second. If there are fewer queries, they are the last rows.
        """
        batch, hypotheses, used = self._sees.shape
        tokens = positions.shape[1]
        stop = used + tokens * hypotheses
        self._reserve(stop, steps_left * hypotheses)
        own = torch.eye(hypotheses, dtype=torch.bool, device=positions.device).expand(batch, -1, -1)
        fed = own.repeat(1, tokens, tokens).tril_(0) if tokens > 1 else own
        sees = torch.cat([self._sees.repeat(1, tokens, 1), fed], dim=2)  # (B, G K, stop)
        every_position = torch.cat([self._positions, positions.repeat_interleave(hypotheses, 1)], dim=1)
        buffer = self._rows()
        if remembered:
            rows = slice((remembered - 1) * hypotheses, remembered * hypotheses)  # the last of them sees all
            self._sees = sees[:, rows, : used + remembered * hypotheses]
        self._positions = every_position[:, : used + remembered * hypotheses]
        halved = buffer.device.type == "cpu" and buffer.dtype == torch.bfloat16  # with queries of 32 bits
        bias = additive(sees, torch.float32 if halved else buffer.dtype).unsqueeze(1)
        return Fed(buffer, slice(used, stop), positions, every_position, hypotheses, bias).under(relative)

    @property
    def slots(self) -> int:
        """Slots in use."""
        return self._sees.shape[2]

    @classmethod
    def holding(cls, buffer: Tensor, sees: Tensor, positions: Tensor) -> Pool:
        """A pool whose hypotheses have parted: `sees` is `(B, K, P)`, the others as for a new one."""
        pool = cls(buffer, sees[:, 0], positions)
        pool._sees = sees
        return pool

    def held(self) -> tuple[Tensor, Tensor, Tensor]:
        """What `holding` takes."""
        return self._rows()[..., : self.slots, :], self._sees, self._positions

    def forget(self, tokens: int) -> None:
        """Drop the last tokens of each sentence, before hypotheses part."""
        kept = self._sees.shape[2] - tokens
        self._sees, self._positions = self._sees[..., :kept], self._positions[:, :kept]

    @property
    def num_bytes(self) -> int:
        """Bytes of the slots in use."""
        return self._rows()[..., : self._sees.shape[2], :].numel() * self._buffer.element_size()

    def _reserve(self, slots: int, more: int) -> None:
        """Make the buffer hold `slots`; if it must grow, make room for `more` in addition."""
        if slots > self._buffer.shape[4]:
            self._move(len(self._sees), slots + more)

    def _move(self, rows: int, slots: int) -> None:
        """Take a buffer of other sizes; new rows hold anything."""
        layers, kinds, _, heads, _, width = self._buffer.shape
        before, _, used = self._sees.shape
        buffer = self._buffer.new_empty(layers, kinds, rows, heads, slots, width)
        buffer[:, :, :before, :, :used] = self._rows()[..., :used, :]
        self._buffer = buffer

    def _rows(self) -> Tensor:
        """The buffer of the B sentences, `(layers, 2, B, H, slots, D)`."""
        return self._buffer[:, :, : len(self._sees)]


@dataclass(frozen=True)
class Fed:
    """The attention of each layer while a pool takes G tokens for each of K hypotheses; see `Pool.feed`.

    Args:
        buffer: The pool's, of B sentences.
        slots: Where the tokens go: the last slots in use, or an index `(G K,)` where all slots are in use.
        positions: Of the tokens, `(B, G)`.
        every_position: Of the slots before and of theirs, `(B, P)`.
        hypotheses: K.
        bias: Of the scores, `(B, 1 or H, G K, P)`, or as `settled` makes it.
    """

    buffer: Tensor
    slots: slice | Tensor
    positions: Tensor
    every_position: Tensor
    hypotheses: int
    bias: Bias

    @property
    def rows(self) -> Tensor:
        """Position ids of the rows, `(B, G K)`."""
        return self.every_position[:, self.slots]

    def under(self, relative: Relative | None) -> Fed:
        """The same with a bias more."""
        if relative is None:
            return self
        return replace(self, bias=relative.onto(self.bias, self.positions, self.every_position, self.hypotheses))

    def __call__(self, layer: int) -> Attention:
        """The attention of one layer; it also takes `vectors` as in `settled`."""

        def look_up(queries: Tensor, keys_values: Tensor, dropout: float, vectors: Any = None) -> Tensor:
            keys, values = self._store(layer, keys_values.permute(2, 0, 3, 1, 4))
            asked = queries.transpose(1, 2)
            bias = self.bias[:, :, -queries.shape[1] :] if isinstance(self.bias, Tensor) else self.bias
            seen = settled(bias, asked, keys, vectors)
            assert seen is not None
            output = attend_in_groups(asked, keys, values, seen, dropout)
            return output.transpose(1, 2)

        return look_up

    def _store(self, layer: int, keys_values: Tensor) -> Tensor:
        """Put keys and values of the tokens `(2, B, H, G K, D)` into their slots; those of all slots in use."""
        if isinstance(self.slots, slice):
            self.buffer[layer, :, :, :, self.slots] = keys_values
            return self.buffer[layer, ..., : self.slots.stop, :]
        return self.buffer[layer].index_copy_(3, self.slots, keys_values)


def _rearranged(table: Tensor, first: int, slots: Tensor) -> Tensor:
    """A table `(..., P)` with its columns from `first` on replaced by some of them, `slots` `(..., M)`."""
    return torch.cat([table[..., :first], table[..., first:].gather(-1, slots)], dim=-1)


def placed(table: Tensor, rows: Tensor, places: Sequence[int]) -> Tensor:
    """A table with rows `(R, ...)` at some places, of which some may follow after its last row."""
    more = max(places) + 1 - len(table)
    if more > 0:
        table = torch.cat([table, table.new_zeros(more, *table.shape[1:])])
    return table.index_copy(0, torch.tensor(places, device=table.device), rows)
