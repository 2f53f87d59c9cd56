"""Disentangled attention: words also ask for distances, and distances for words (DeBERTa).

To the score of a query q and a key k, at a distance in the bucket d, two terms are added: q · K_d and k · Q_d. The
vectors K_d and Q_d are keys and queries of a table of distances, which all layers share and each projects as it does
words.

Source: DeBERTa (arXiv 2006.03654), section 3.1; buckets and shared projections as in DeBERTa v2 and v3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from s2s.nn.attention import Attention, Bias, SelfAttention

_TERMS = 3
"""Parts of a score: word and word, word and distance, distance and word. All are divided by sqrt(3 D)."""
_FEW = 4
"""Up to so many queries it is cheaper to fetch vectors of distances for each key than to compare a key with all."""


def distance_bucket(distance: Tensor, num_buckets: int, max_distance: int) -> Tensor:
    """The row of the table for `query position - key position`.

    The first half of the buckets has one for each distance, the others widen logarithmically.

    Args:
        distance: Differences of positions, any shape, int64.
        num_buckets: Buckets in each direction.
        max_distance: Distance from which on all share the last bucket.

    Returns:
        Rows from 0 to `2 num_buckets - 1`, int64; `num_buckets` for the distance 0.
    """
    middle = num_buckets // 2
    far = distance.abs().clamp(min=middle).float() / middle
    scale = torch.log(torch.tensor((max_distance - 1) / middle))
    bucket = torch.ceil(torch.log(far) / scale * (middle - 1)) + middle
    signed = torch.where(distance.abs() <= middle, distance, (bucket * distance.sign()).long())
    return (signed + num_buckets).clamp(0, 2 * num_buckets - 1)


class DistanceVectors(NamedTuple):
    """Keys and queries of distances in one layer, `(H, R, D)` each, scaled."""

    keys: Tensor
    queries: Tensor


class Distances(nn.Module):
    """The table of distances, with its norm; R = 2 `num_buckets` rows."""

    def __init__(self, hidden_size: int, num_buckets: int, max_distance: int, eps: float, dropout: float) -> None:
        super().__init__()
        self.table = nn.Embedding(2 * num_buckets, hidden_size)
        self.norm = nn.LayerNorm(hidden_size, eps)
        self.dropout = nn.Dropout(dropout)
        self.max_distance = max_distance
        distances = torch.arange(-max_distance, max_distance + 1)
        self.register_buffer("buckets", distance_bucket(distances, num_buckets, max_distance), persistent=False)
        self.buckets: Tensor

    def vectors(self, attention: SelfAttention) -> DistanceVectors:
        """What a layer makes of the table."""
        rows = self.dropout(self.norm(self.table.weight))
        queries = attention.query(rows).unflatten(-1, (attention.num_heads, -1))  # (R, H, D)
        keys = attention.keys_values(rows)[:, 0]
        width = queries.shape[-1]
        return DistanceVectors(
            keys.transpose(0, 1) / math.sqrt(width), queries.transpose(0, 1) / math.sqrt(_TERMS * width)
        )

    def onto(self, bias: Bias, queries: Tensor, keys: Tensor, repeats: int = 1) -> DistanceBias:
        """See `s2s.nn.positions.Relative`; what depends on words is left open."""
        assert bias is None or isinstance(bias, Tensor)
        distance = (queries.unsqueeze(-1) - keys.unsqueeze(-2)).clamp(-self.max_distance, self.max_distance)
        return DistanceBias(self.buckets[distance + self.max_distance], bias, repeats)


@dataclass(frozen=True)
class DistanceBias:
    """A bias that depends on what asks and what answers.

    Args:
        rows: Of the table of distances, `(B, G, P)`: of P keys and G places of queries, each of K queries in turn.
        bias: What else is added to the scores, `(B, 1, G K, P)`, or nothing.
        repeats: K.
    """

    rows: Tensor
    bias: Tensor | None
    repeats: int = 1

    def of(self, queries: Tensor, keys: Tensor, vectors: DistanceVectors) -> Tensor:
        """See `s2s.nn.attention.OpenBias`; the queries, the last of G K, are divided by sqrt(3)."""
        heads, asking = queries.shape[1:3]
        rows = self.rows[:, -(asking // self.repeats) :]  # (B, G, P)
        by_query = rows.repeat_interleave(self.repeats, 1).unsqueeze(1).expand(-1, heads, -1, -1)
        score = (queries @ vectors.keys.transpose(1, 2)).gather(-1, by_query)
        score = score + _answers(keys, vectors.queries, rows).repeat_interleave(self.repeats, 2)
        return score if self.bias is None else score + self.bias[:, :, -asking:]


def _answers(keys: Tensor, queries: Tensor, rows: Tensor) -> Tensor:
    """Products of keys `(B, H, P, D)` with the queries `(H, R, D)` at rows `(B, G, P)`, as `(B, H, G, P)`."""
    if rows.shape[1] <= _FEW:
        fetched = queries[:, rows].transpose(0, 1)  # (B, H, G, P, D)
        return (fetched * keys.unsqueeze(2)).sum(-1)
    index = rows.transpose(1, 2).unsqueeze(1).expand(-1, keys.shape[1], -1, -1)
    return (keys @ queries.transpose(1, 2)).gather(-1, index).transpose(2, 3)


def disentangling(attention: Callable[..., Tensor], vectors: DistanceVectors) -> Attention:
    """The attention of one layer, from one whose biases are `DistanceBias`."""

    def attend(queries: Tensor, keys_values: Tensor, dropout: float) -> Tensor:
        return attention(queries / math.sqrt(_TERMS), keys_values, dropout, vectors)

    return attend
