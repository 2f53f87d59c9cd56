"""The Transformer layer with normalization after each residual sum, as in BERT."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

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

    Args as the options of `s2s.models.unilm.UniLM.Config`.
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
    ) -> None:
        super().__init__()
        self.attention = SelfAttention(hidden_size, num_heads, attention_dropout)
        self.attention_norm = nn.LayerNorm(hidden_size, layer_norm_eps)
        self.up = Linear(hidden_size, intermediate_size)
        self.down = Linear(intermediate_size, hidden_size)
        self.down_norm = nn.LayerNorm(hidden_size, layer_norm_eps)
        self.activation = ACTIVATIONS[activation]
        self.dropout = nn.Dropout(hidden_dropout)

    def forward(self, x: Tensor, attention: Attention, rows: Rows | None = None) -> Tensor:
        """Outputs `(..., Q, hidden_size)` at `rows` (None: all) of inputs `(..., N, hidden_size)`."""
        x = self.attention_norm(select_rows(x, rows) + self.dropout(self.attention(x, attention, rows)))
        transformed = self.down(self.activation(self.up(x)))
        return self.down_norm(x + self.dropout(transformed))  # type: ignore[no-any-return]


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


def projections(layer: nn.Module, x: Tensor) -> Tensor:
    """Queries, keys and values of a `Block` for rows `(N, hidden_size)`: `(N, 3, hidden_size)`, all heads together.

    The layer is called as always, but with an attention that only notes what it is given.
    """
    noting = Noting()
    layer(x, noting)
    return noting.vectors
