"""The causal Transformer layer: normalization first, gated feed-forward, rotary positions, grouped keys and values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s2s.nn.attention import attend
from s2s.nn.linear import Linear
from s2s.nn.rotary import Rotation, rotate, rotation

LayerAttention = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Attention of queries `(B, H, T, D)` to keys and values `(B, G, T, D)`, and to earlier ones."""


class CausalBlock(nn.Module):
    """One layer: attention, then a gated feed-forward network, each on normalized input and added to it.

    Options as in `LatentLM.Config`; there are H heads of queries and G of keys and values.

    Source: the language model of VibeVoice (Qwen2.5) and, without `qkv_bias`, of LatentLM.
    """

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        num_kv_heads: int,
        intermediate_size: int,
        norm_eps: float,
        qkv_bias: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.head_dim = hidden_size // num_heads
        self._heads = [num_heads + num_kv_heads, num_kv_heads]
        self._groups = [num_heads, num_kv_heads]
        self.attention_norm = nn.RMSNorm(hidden_size, norm_eps)
        self.qkv = Linear(hidden_size, sum(self._heads) * self.head_dim, bias=qkv_bias)
        self.out = Linear(hidden_size, hidden_size, bias=False)
        self.ffn_norm = nn.RMSNorm(hidden_size, norm_eps)
        self.gate_up = Linear(hidden_size, 2 * intermediate_size, bias=False)
        self.down = Linear(intermediate_size, hidden_size, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, turn: Rotation, attention: LayerAttention) -> Tensor:
        """Rows `(B, T, hidden_size)` to the same shape."""
        heads = (
            self.qkv(self.attention_norm(x)).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        )  # (B, H + 2 G, T, D)
        turning, values = torch.split(heads, self._heads, dim=1)
        queries, keys = torch.split(rotate(turning, turn), self._groups, dim=1)
        x = x + self.dropout(self.out(attention(queries, keys, values).transpose(1, 2).flatten(2)))
        gate, up = self.gate_up(self.ffn_norm(x)).chunk(2, dim=-1)
        return x + self.dropout(self.down(F.silu(gate) * up))  # type: ignore[no-any-return]


def run_blocks(
    blocks: Iterable[CausalBlock],
    x: Tensor,
    positions: Tensor,
    theta: float,
    attention: Callable[[int], LayerAttention],
) -> Tensor:
    """Run blocks over `(B, T, hidden_size)`, one after the other.

    `positions` broadcast to `(B, T)`, `theta` is the base of the rotary frequencies, and `attention` gives the
    attention of the block of an index.
    """
    turn = None
    for index, block in enumerate(blocks):
        turn = turn or rotation(positions, block.head_dim, theta, heads=1)
        x = block(x, turn, attention(index))
    return x


def ragged_attention(lengths: Sequence[int]) -> LayerAttention:
    """A `LayerAttention` over sequences of these lengths, one after the other in one row: best on a CPU."""

    def attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        parts = zip(*(torch.split(heads, list(lengths), dim=2) for heads in (queries, keys, values)), strict=True)
        return torch.cat([causal_attention(*part) for part in parts], dim=2)

    return attention


def causal_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """A `LayerAttention` over whole sequences; only padding attends to padding on the right."""
    return attend(queries, keys, values, causal=True)
