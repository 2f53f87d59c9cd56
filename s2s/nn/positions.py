"""Relative positions: logarithmic buckets, one learned bias per bucket and head, and windows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from s2s.nn.attention import Bias
from s2s.nn.masks import HIDDEN


def relative_bucket(relative: Tensor, num_buckets: int, max_distance: int) -> Tensor:
    """The bucket of `key position - query position`.

    Half of the buckets are for keys at the query or before it, half for keys after it. In each half the first half has
    one bucket per distance; the others widen logarithmically up to `max_distance`, and the last one takes all beyond.

    Args:
        relative: Differences of positions, any shape, int64.
        num_buckets: Number of buckets, a multiple of 4.
        max_distance: Distance from which on all share the last bucket; more than `num_buckets / 4`.

    Returns:
        Buckets from 0 to `num_buckets - 1`, of the shape of `relative`, int64.

    Source: T5 (arXiv 1910.10683), section 2.1, as used by UniLMv2. Computed in float32, which decides the edges.
    """
    half = num_buckets // 2
    exact = half // 2
    distance = relative.abs()
    log_ratio = torch.log(distance.clamp(min=1).float() / exact) / math.log(max_distance / exact)
    far = (exact + (log_ratio * (half - exact)).long()).clamp(max=half - 1)
    return torch.where(distance < exact, distance, far) + half * (relative > 0).long()


class Relative(Protocol):
    """What the positions of two tokens add to their attention score."""

    def onto(self, bias: Bias, queries: Tensor, keys: Tensor, repeats: int = 1) -> Bias:
        """A bias `(..., 1 or H, Q, K)`, None for zeros, plus that of position ids `(..., Q)` and `(..., K)`.

        Each position of a query may stand for several rows, one after the other: `repeats`.
        """


class RelativeBias(nn.Module):
    """A bias on attention scores for each head and `relative_bucket`."""

    def __init__(self, num_heads: int, num_buckets: int, max_distance: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_heads, num_buckets))
        self.max_distance = max_distance
        distances = torch.arange(-max_distance, max_distance + 1)
        buckets = relative_bucket(distances, num_buckets, max_distance)
        self.register_buffer("buckets", buckets, persistent=False)
        self.buckets: Tensor

    def prefer_neighbors_(self, strength: float) -> None:
        """Start each head with a bias for one neighbor: before and after in turn, the nearest first."""
        heads, buckets = self.weight.shape
        head = torch.arange(heads)
        offsets = (head // 2 + 1) * (head % 2 * 2 - 1)  # -1, 1, -2, 2, ...
        with torch.no_grad():
            self.weight[head, relative_bucket(offsets, buckets, self.max_distance)] = strength

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """The biases for position ids `(..., Q)` and `(..., K)`, as `(..., H, Q, K)`."""
        relative = keys.unsqueeze(-2) - queries.unsqueeze(-1)
        index = self.buckets[relative.clamp(-self.max_distance, self.max_distance) + self.max_distance]
        return self.weight.t()[index].movedim(-1, -3)

    def onto(self, bias: Bias, queries: Tensor, keys: Tensor, repeats: int = 1) -> Bias:
        """See `Relative`."""
        own = _repeated(self(queries, keys), repeats)
        assert bias is None or isinstance(bias, Tensor)
        return own if bias is None else own + bias


@dataclass(frozen=True)
class Window:
    """Hides tokens more than `reach` positions away: by their positions, wherever their slots are."""

    reach: int

    def onto(self, bias: Bias, queries: Tensor, keys: Tensor, repeats: int = 1) -> Bias:
        """See `Relative`."""
        far = ((keys.unsqueeze(-2) - queries.unsqueeze(-1)).abs() > self.reach).unsqueeze(-3)
        bias = torch.zeros(far.shape, device=far.device) if bias is None else bias
        assert isinstance(bias, Tensor)
        return bias.masked_fill(_repeated(far, repeats), HIDDEN)


def _repeated(rows: Tensor, repeats: int) -> Tensor:
    """Each of the rows `(..., Q, K)` several times."""
    return rows if repeats == 1 else rows.repeat_interleave(repeats, -2)
