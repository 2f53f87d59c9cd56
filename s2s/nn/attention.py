"""Attention: the one call to the kernel, and self-attention over rows with any visibility.

Axes: B sentences, N packed rows, Q queries, K keys, H heads, D width of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s2s.nn import compiled
from s2s.nn.linear import Linear

Rows = Tensor | slice
"""Indices of rows, or a slice, of the last axis but one."""

Attention = Callable[[Tensor, Tensor, float], Tensor]
"""Maps queries `(..., Q, H, D)`, keys and values `(..., K, 2, H, D)` and a dropout rate to outputs `(..., Q, H, D)`.

The implementation decides who sees whom and where keys and values are kept: packed rows (`s2s.nn.packing`), or a cache
of earlier steps (`s2s.nn.cache`).
"""


class OpenBias(Protocol):
    """A bias on scores that depends on what asks and what answers, in each layer otherwise."""

    def of(self, queries: Tensor, keys: Tensor, vectors: Any) -> Tensor:
        """The bias `(B, H, Q, K)` of queries `(B, H, Q, D)` and keys `(B, H, K, D)`, with the vectors of a layer."""


Bias = Tensor | OpenBias | None
"""What is added to scores."""


def settled(bias: Bias, queries: Tensor, keys: Tensor, vectors: Any) -> Tensor | None:
    """A bias for `attend`; arguments as for `OpenBias.of`."""
    return bias if bias is None or isinstance(bias, Tensor) else bias.of(queries, keys, vectors)


def attend(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    bias: Tensor | None = None,
    dropout: float = 0.0,
    causal: bool = False,
) -> Tensor:
    """Scaled dot-product attention.

    Args:
        queries: `(B, H, Q, D)`.
        keys: `(B, H, K, D)`, or fewer heads, each shared by a group of neighboring query heads. On a CPU they may be
            bfloat16 where queries are not, for `s2s.nn.compiled`.
        values: As `keys`.
        bias: Added to the scaled scores, broadcastable to `(B, H, Q, K)`; hidden keys have `s2s.nn.masks.HIDDEN`.
        dropout: Rate on attention weights.
        causal: Query i sees keys 0 to i; cannot be combined with `bias`.

    Returns:
        `(B, H, Q, D)`.
    """
    if bias is not None:
        bias = bias.to(queries.dtype)
    if not dropout and not causal and compiled.serves(queries, keys, values, bias):
        return compiled.attend(queries, keys, values, bias)
    if queries.device.type == "cpu" and queries.dtype == torch.bfloat16 and queries.requires_grad:
        # The CPU kernel's backward pass is five times slower in bfloat16 than in float32.
        wide = None if bias is None else bias.float()
        with torch.autocast("cpu", enabled=False):
            output = attend(queries.float(), keys.float(), values.float(), wide, dropout, causal)
        return output.to(queries.dtype)
    grouped = keys.shape[1] != queries.shape[1]
    return F.scaled_dot_product_attention(
        queries, keys, values, attn_mask=bias, dropout_p=dropout, is_causal=causal, enable_gqa=grouped
    )


def attend_in_groups(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor, dropout: float = 0.0) -> Tensor:
    """`attend` with a bias `(B, 1, Q, K)`; keys that heads share are not copied: each of them becomes a row."""
    batch, heads, width = len(queries), queries.shape[1], queries.shape[3]
    shared = keys.shape[1]
    if shared == heads:
        return attend(queries, keys, values, bias, dropout)
    rows = queries.reshape(batch * shared, heads // shared, -1, width)
    keys, values = (
        part.flatten(0, 1).unsqueeze(1).expand(-1, heads // shared, -1, -1) for part in (keys, values)
    )  # (B G, H / G, K, D), one row of memory for all of H / G
    seen = bias.expand(-1, shared, -1, -1).flatten(0, 1).unsqueeze(1)
    return attend(rows, keys, values, seen, dropout).reshape(batch, heads, -1, width)


def keeping(attention: Attention, keep: Callable[[Tensor], None]) -> Attention:
    """An attention that also hands on the keys and values that it is given."""

    def attend_and_keep(queries: Tensor, keys_values: Tensor, dropout: float) -> Tensor:
        keep(keys_values)
        return attention(queries, keys_values, dropout)

    return attend_and_keep


class SelfAttention(nn.Module):
    """Multi-head attention over the rows of one input; `num_heads` divides `hidden_size`, `dropout` is on weights."""

    def __init__(self, hidden_size: int, num_heads: int, dropout: float, biases: bool = True) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.query = Linear(hidden_size, hidden_size, biases)
        self.key_value = Linear(hidden_size, 2 * hidden_size, biases)
        self.out = Linear(hidden_size, hidden_size, biases)

    def forward(self, x: Tensor, attention: Attention, rows: Rows | None = None) -> Tensor:
        """Outputs `(..., Q, hidden_size)` for the queries of `rows` (None: all) over the keys of all rows of `x`."""
        queries = self.queries(select_rows(x, rows))
        return self.out(attention(queries, self.keys_values(x), self.rate).flatten(-2))  # type: ignore[no-any-return]

    @property
    def rate(self) -> float:
        """Of dropout, now."""
        return self.dropout if self.training else 0.0

    def queries(self, x: Tensor) -> Tensor:
        """Queries of rows `(..., N, hidden_size)`, as `(..., N, H, D)`."""
        return self.query(x).unflatten(-1, (self.num_heads, -1))  # type: ignore[no-any-return]

    def keys_values(self, x: Tensor) -> Tensor:
        """Keys and values of rows `(..., N, hidden_size)`, as `(..., N, 2, H, D)`."""
        return self.key_value(x).unflatten(-1, (2, self.num_heads, -1))  # type: ignore[no-any-return]


def select_rows(x: Tensor, rows: Rows | None) -> Tensor:
    """Rows of the last axis but one; None for all."""
    if rows is None:
        return x
    if isinstance(rows, slice):
        return x[..., rows, :]
    return torch.index_select(x, -2, rows)
