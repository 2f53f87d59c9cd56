"""Attention: the one call to the kernel, and self-attention whose keys may come from anywhere.

Axes: B sentences, N packed rows, Q queries, K keys, H heads, D width of a head.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s2s.nn.linear import Linear

Rows = Tensor | slice
"""Which rows of a layer's input are read: indices, or a slice, of the last axis but one."""

Attention = Callable[[Tensor, Tensor, float], Tensor]
"""Looks up queries `(..., Q, H, D)` in keys and values `(..., K, 2, H, D)` with a dropout rate, gives `(..., Q, H, D)`.

What stands behind it decides who sees whom and where keys and values are kept: packed rows (`s2s.nn.packing`), a
cache that remembers earlier steps (`s2s.nn.cache`).
"""


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
        keys: `(B, H, K, D)`, or fewer heads, each shared by a group of neighboring queries' heads.
        values: Like `keys`.
        bias: Added to the scaled scores, broadcastable to `(B, H, Q, K)`; hidden keys have `s2s.nn.masks.HIDDEN`.
        dropout: Rate at which attention weights are dropped.
        causal: Query i sees keys 0 to i; not together with `bias`.

    Returns:
        `(B, H, Q, D)`.
    """
    if bias is not None:
        bias = bias.to(queries.dtype)
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


class SelfAttention(nn.Module):
    """Multi-head attention over the rows of one input.

    Args:
        hidden_size: Width of the rows.
        num_heads: Heads; a divisor of `hidden_size`.
        dropout: Rate at which attention weights are dropped.
    """

    def __init__(self, hidden_size: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.query = Linear(hidden_size, hidden_size)
        self.key_value = Linear(hidden_size, 2 * hidden_size)
        self.out = Linear(hidden_size, hidden_size)

    def forward(self, x: Tensor, attention: Attention, rows: Rows | None = None) -> Tensor:
        """
        Args:
            x: `(..., N, hidden_size)`.
            attention: What the rows see.
            rows: The rows that ask; None for all. All rows answer.

        Returns:
            `(..., Q, hidden_size)`.
        """
        asking = x if rows is None else select_rows(x, rows)
        queries = self.query(asking).unflatten(-1, (self.num_heads, -1))
        dropout = self.dropout if self.training else 0.0
        return self.out(attention(queries, self.keys_values(x), dropout).flatten(-2))  # type: ignore[no-any-return]

    def keys_values(self, x: Tensor) -> Tensor:
        """Keys and values of rows `(..., N, hidden_size)`, as `(..., N, 2, H, D)`."""
        return self.key_value(x).unflatten(-1, (2, self.num_heads, -1))  # type: ignore[no-any-return]


def select_rows(x: Tensor, rows: Rows) -> Tensor:
    """Rows of the last axis but one."""
    if isinstance(rows, slice):
        return x[..., rows, :]
    return torch.index_select(x, -2, rows)
