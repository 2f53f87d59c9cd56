"""The Transformer layer with normalization after each residual sum, as in BERT."""

from __future__ import annotations

from collections.abc import Callable

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

    Args:
        hidden_size: Width of the rows.
        num_heads: Attention heads.
        intermediate_size: Width inside the feed-forward network.
        activation: A key of `ACTIVATIONS`.
        layer_norm_eps: Added to the variance.
        hidden_dropout: Rate after attention and after the feed-forward network.
        attention_dropout: Rate on attention weights. Any but 0 takes the slow attention kernel on a CPU.
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
        """
        Args:
            x: `(..., N, hidden_size)`.
            attention: What the rows see.
            rows: The rows whose output is read; None for all.

        Returns:
            The layer's output at `rows`, `(..., Q, hidden_size)`.
        """
        residual = x if rows is None else select_rows(x, rows)
        x = self.attention_norm(residual + self.dropout(self.attention(x, attention, rows)))
        transformed = self.down(self.activation(self.up(x)))
        return self.down_norm(x + self.dropout(transformed))  # type: ignore[no-any-return]
