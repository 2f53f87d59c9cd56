"""Attention from the rows of outputs to the rows of their sources, and the layer that uses it.

Axes: B sentences, M packed rows of outputs, N packed rows of sources, H heads, D width of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from s2s.nn.attention import Attention, SelfAttention, attend
from s2s.nn.linear import Linear
from s2s.nn.masks import additive
from s2s.nn.packing import Packing
from s2s.nn.transformer import ACTIVATIONS


def crossing(asking: Packing, answering: Packing) -> Attention:
    """Attention for the device, where each row of `asking` sees all rows of its sentence in `answering`."""
    kind = RaggedCrossing if asking.slots.device.type == "cpu" else PaddedCrossing
    return kind(asking, answering)


class RaggedCrossing:
    """One call of the kernel for each sentence, at its true lengths."""

    def __init__(self, asking: Packing, answering: Packing) -> None:
        self._asking, self._answering = asking.lengths, answering.lengths

    def __call__(self, queries: Tensor, keys_values: Tensor, dropout: float) -> Tensor:
        """See `s2s.nn.attention.Attention`; `(M, H, D)` and `(N, 2, H, D)` give `(M, H, D)`."""
        asked, answers = torch.split(queries, self._asking), torch.split(keys_values, self._answering)
        outputs = [see_all(one[None], other[None], None, dropout)[0] for one, other in zip(asked, answers, strict=True)]
        return torch.cat(outputs)


class PaddedCrossing:
    """One call of the kernel for the whole batch."""

    def __init__(self, asking: Packing, answering: Packing) -> None:
        self._asking, self._answering = asking, answering
        lengths = torch.tensor(answering.lengths, device=answering.slots.device)
        columns = torch.arange(answering.padded_steps.shape[1], device=lengths.device)
        self._real = columns < lengths.unsqueeze(1)  # (B, S)

    def __call__(self, queries: Tensor, keys_values: Tensor, dropout: float) -> Tensor:
        """See `s2s.nn.attention.Attention`; `(M, H, D)` and `(N, 2, H, D)` give `(M, H, D)`."""
        asked, answers = self._asking.pad(queries), self._answering.pad(keys_values)
        return self._asking.pack(see_all(asked, answers, self._real, dropout))


def see_all(queries: Tensor, keys_values: Tensor, real: Tensor | None, dropout: float) -> Tensor:
    """Outputs `(B, Q, H, D)` of queries `(B, Q, H, D)` that see all keys `(B, S, 2, H, D)` that are `real` `(B, S)`."""
    keys, values = keys_values.permute(2, 0, 3, 1, 4)  # (B, H, S, D)
    bias = None if real is None else additive(real, torch.float32)[:, None, None]
    return attend(queries.transpose(1, 2), keys, values, bias, dropout).transpose(1, 2)


class CrossAttention(nn.Module):
    """Multi-head attention from outputs to sources; args as those of `SelfAttention`."""

    def __init__(self, hidden_size: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.query = Linear(hidden_size, hidden_size)
        self.key_value = Linear(hidden_size, 2 * hidden_size)
        self.out = Linear(hidden_size, hidden_size)

    def forward(self, x: Tensor, memory: Tensor | None, attention: Attention) -> Tensor:
        """Outputs for rows `x` over the rows of `memory`; None where `attention` has kept their keys and values."""
        queries = self.query(x).unflatten(-1, (self.num_heads, -1))
        keys_values = queries.new_empty(0) if memory is None else self.keys_values(memory)
        dropout = self.dropout if self.training else 0.0
        return self.out(attention(queries, keys_values, dropout).flatten(-2))  # type: ignore[no-any-return]

    def keys_values(self, memory: Tensor) -> Tensor:
        """Keys and values of rows `(..., N, hidden_size)`, as `(..., N, 2, H, D)`."""
        return self.key_value(memory).unflatten(-1, (2, self.num_heads, -1))  # type: ignore[no-any-return]


class DecoderBlock(nn.Module):
    """One layer of a decoder: self-attention, cross-attention and a feed-forward network, as in BART.

    Each has a residual sum and a layer norm after it. Args as the options of
    `s2s.models.encoder_decoder.EncoderDecoder.Config`.
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
        self.cross = CrossAttention(hidden_size, num_heads, attention_dropout)
        self.cross_norm = nn.LayerNorm(hidden_size, layer_norm_eps)
        self.up = Linear(hidden_size, intermediate_size)
        self.down = Linear(intermediate_size, hidden_size)
        self.down_norm = nn.LayerNorm(hidden_size, layer_norm_eps)
        self.activation = ACTIVATIONS[activation]
        self.dropout = nn.Dropout(hidden_dropout)

    def forward(self, x: Tensor, attention: Attention, memory: Tensor | None, across: Attention) -> Tensor:
        """Outputs of inputs `(..., M, hidden_size)`, which see `memory`, see `CrossAttention`."""
        x = self.attention_norm(x + self.dropout(self.attention(x, attention)))
        x = self.cross_norm(x + self.dropout(self.cross(x, memory, across)))
        transformed = self.down(self.activation(self.up(x)))
        return self.down_norm(x + self.dropout(transformed))  # type: ignore[no-any-return]
