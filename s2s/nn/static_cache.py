"""A pool whose tensors keep their places and shapes while hypotheses grow, so that a step can be captured.

The slots are those of `s2s.nn.cache`, with room for some steps: [used before | K for each step | K of mask tokens].
Slots that nobody sees are read too and count for nothing: a GPU reads a few hundred slots in vain faster than the host
names the ones that count. Where the next tokens go is a number on the device.
"""

from __future__ import annotations

import torch
from torch import Tensor

from s2s.nn.cache import Fed, Pool
from s2s.nn.masks import additive
from s2s.nn.positions import Relative

_MULTIPLE = 8
"""Of slots: kernels of attention copy a bias whose rows are of other lengths."""


class StaticPool:
    """Keys and values of up to `rows` sentences with K hypotheses each; see `s2s.nn.cache.Pool`.

    Args:
        like: For layers, heads, widths, device and type.
        rows: Most sentences.
        slots: Most slots used before.
        steps: Steps that there is room for.
        hypotheses: K.
    """

    def __init__(self, like: Pool, rows: int, slots: int, steps: int, hypotheses: int) -> None:
        buffer, _, positions = like.held()
        layers, kinds, _, heads, _, width = buffer.shape
        total = -(-(slots + (steps + 1) * hypotheses) // _MULTIPLE) * _MULTIPLE
        self._buffer = buffer.new_zeros(layers, kinds, rows, heads, total, width)
        self._positions = positions.new_zeros(rows, total)
        self._own = torch.eye(hypotheses, dtype=torch.bool, device=buffer.device).repeat(rows, 1, 1)  # (B, K, K)
        self._sees = self._own.new_zeros(rows, hypotheses, total)
        self._each = torch.arange(hypotheses, device=buffer.device)
        self._masks = self._each + (total - hypotheses)
        self._next = self._each.new_zeros(())

    @property
    def hypotheses(self) -> int:
        """K."""
        return len(self._each)

    def load(self, pool: Pool) -> None:
        """Take in the sentences of a pool, as the first rows."""
        buffer, sees, positions = pool.held()
        rows, _, used = sees.shape
        self._buffer[:, :, :rows, :, :used] = buffer
        self._positions[:rows, :used] = positions
        self._sees.zero_()
        self._sees[:rows, :, :used] = sees
        self._next.fill_(used)

    def pool(self, rows: Tensor, used: int) -> Pool:
        """A pool of some rows `(B',)`, with its own tensors; `used` slots are in use, mask tokens are not."""
        buffer = self._buffer[..., :used, :].index_select(2, rows)
        return Pool.holding(buffer, self._sees[rows, :, :used], self._positions[rows, :used])

    def select(self, parents: Tensor) -> None:
        """Let hypotheses continue others of the same sentence, `(B, K)`."""
        self._sees.copy_(self._sees.gather(1, parents.unsqueeze(-1).expand_as(self._sees)))

    def feed(self, positions: Tensor, remembered: int, steps_left: int, relative: Relative | None = None) -> Fed:
        """See `Pool.feed`, for one token that is remembered, and a mask or none."""
        assert remembered == 1, "after the first step"
        hypotheses, here = self.hypotheses, self._each + self._next
        self._next.add_(hypotheses)
        self._sees.index_copy_(2, here, self._own)
        self._positions.index_copy_(1, here, positions[:, :1].expand(-1, hypotheses))
        sees, slots = self._sees, here
        if positions.shape[1] > 1:
            self._positions[:, -hypotheses:] = positions[:, 1:]
            of_masks = self._sees.index_copy(2, self._masks, self._own)
            sees, slots = torch.cat([self._sees, of_masks], 1), torch.cat([here, self._masks])
        bias = additive(sees, self._buffer.dtype).unsqueeze(1)
        return Fed(self._buffer, slots, positions, self._positions, hypotheses, bias).under(relative)
