"""Transformer layers: with normalization after each residual sum, as in BERT, or before each sublayer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s2s.nn.attention import Attention, Rows, SelfAttention, select_rows
from s2s.nn.linear import Linear

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
}


class Block(nn.Module):
    """One layer: self-attention, then a feed-forward network, each with residual sum and layer norm.

    Args as the options of `s2s.models.unilm.UniLM.Config`, and `inner_norms`: layer norms before the last linear layer
    of both sublayers (sub-LN of Magneto, arXiv 2210.06423).
    """

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        intermediate_size: int,
        activation: str,
        layer_norm_eps: float,
        hidden_dropout: float,
        attention_dropout: float,
        gated: bool = False,
        biases: bool = True,
        inner_norms: bool = False,
    ) -> None:
        super().__init__()
        self.attention = SelfAttention(hidden_size, num_heads, attention_dropout, biases)
        self.attention_norm = nn.LayerNorm(hidden_size, layer_norm_eps, bias=biases)
        self.up = Linear(hidden_size, (1 + gated) * intermediate_size, biases)
        self.down = Linear(intermediate_size, hidden_size, biases)
        self.down_norm = nn.LayerNorm(hidden_size, layer_norm_eps, bias=biases)
        if inner_norms:
            norms = [nn.LayerNorm(size, layer_norm_eps, bias=biases) for size in (hidden_size, intermediate_size)]
            self.attention.out, self.down = map(_normed, norms, (self.attention.out, self.down))
        self.activation = Gate(activation) if gated else ACTIVATIONS[activation]
        self.dropout = nn.Dropout(hidden_dropout)

    def forward(self, x: Tensor, attention: Attention, rows: Rows | None = None) -> Tensor:
        """Outputs `(..., Q, hidden_size)` at `rows` (None: all) of inputs `(..., N, hidden_size)`."""
        x = self.attention_norm(select_rows(x, rows) + self.dropout(self.attention(x, attention, rows)))
        transformed = self.down(self.activation(self.up(x)))
        return self.down_norm(x + self.dropout(transformed))  # type: ignore[no-any-return]

    def keys_values(self, x: Tensor) -> Tensor:
        """Keys and values of its inputs; see `SelfAttention.keys_values`."""
        return self.attention.keys_values(x)


class NormFirstBlock(Block):
    """A layer whose sublayers read normalized inputs; the output of the last one is left to be normalized."""

    def forward(self, x: Tensor, attention: Attention, rows: Rows | None = None) -> Tensor:
        """See `Block`."""
        attended = self.attention(self.attention_norm(x), attention, rows)
        return self.transformed(select_rows(x, rows) + self.dropout(attended))

    def transformed(self, x: Tensor) -> Tensor:
        """What the second sublayer makes of the output `(..., hidden_size)` of the first."""
        transformed = self.down(self.activation(self.up(self.down_norm(x))))
        return x + self.dropout(transformed)  # type: ignore[no-any-return]

    def keys_values(self, x: Tensor) -> Tensor:
        """See `Block`."""
        return self.attention.keys_values(self.attention_norm(x))


def _normed(norm: nn.Module, linear: nn.Module) -> Any:
    """A linear layer that reads what a norm gives."""
    return nn.Sequential(OrderedDict(norm=norm, linear=linear))


class Gate(NamedTuple):
    """An activation whose outputs are multiplied by a gate: `(..., 2 I)` to `(..., I)`, the gate last (GLU)."""

    activation: str

    def __call__(self, x: Tensor) -> Tensor:
        """Source: GLU variants (arXiv 2002.05202)."""
        inner, gate = x.chunk(2, dim=-1)
        return ACTIVATIONS[self.activation](inner) * gate


class Noting:
    """An attention that notes the queries, keys and values that it is given, all heads together: `(N, 3, D)`."""

    def __init__(self, attention: Attention | None = None) -> None:
        self._attention = attention
        self.vectors = torch.empty(0)

    def __call__(self, queries: Tensor, keys_values: Tensor, dropout: float) -> Tensor:
        """See `s2s.nn.attention.Attention`; without one to do the work, the queries themselves."""
        self.vectors = torch.cat([queries.unsqueeze(1), keys_values], dim=1).flatten(2)
        return queries if self._attention is None else self._attention(queries, keys_values, dropout)


class LayerStates(NamedTuple):
    """What passes through the first layers of a model; B sentences, L slots, zero at padding."""

    hidden: list[Tensor]
    """Hidden states, `(B, L, hidden_size)` each: of the embeddings, and after each layer."""
    vectors: list[Tensor]
    """Queries, keys and values of each layer, all heads together, `(B, L, 3, hidden_size)` each."""


def projections(layer: Callable[[Tensor, Attention], Tensor], x: Tensor) -> Tensor:
    """Queries, keys and values of a `Block` for rows `(N, hidden_size)`: `(N, 3, hidden_size)`, all heads together.

    The layer is called as always, but with an attention that only notes what it is given.
    """
    noting = Noting()
    layer(x, noting)
    return noting.vectors
