"""The ends of a UniLM: embeddings below its layers, and the head that scores the vocabulary above them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from s2s.nn.linear import Linear, linear
from s2s.nn.transformer import ACTIVATIONS


class Embeddings(nn.Module):
    """Word, position and segment embeddings, summed, normalized, and projected to the width of the layers."""

    def __init__(self, config: Any, width: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocab_size, width)
        self.positions = nn.Embedding(config.max_positions, width) if config.position_table else None
        self.segments = nn.Embedding(config.num_segments, width) if config.num_segments else None
        self.norm = nn.LayerNorm(width, config.layer_norm_eps, bias=config.biases)
        self.project = Linear(width, config.hidden_size) if width != config.hidden_size else None
        self.dropout = nn.Dropout(config.hidden_dropout)
        self._source_segment = config.source_segment
        self._target_offset = config.target_segment - config.source_segment

    def forward(self, words: Tensor, positions: Tensor, segments: Tensor) -> Tensor:
        """Of word embeddings `(..., width)`, ids of positions and segments 0 (source) or 1 (target), `(...)`."""
        x = words if self.positions is None else words + self.positions(positions)
        if self.segments is not None:
            x = x + self.segments(segments * self._target_offset + self._source_segment)
        x = self.dropout(self.norm(x))
        return x if self.project is None else self.project(x)  # type: ignore[no-any-return]

    def share(self, other: Embeddings) -> None:
        """Use all but the projection of other embeddings, instead of its own."""
        self.tokens, self.positions, self.segments, self.norm = (
            other.tokens,
            other.positions,
            other.segments,
            other.norm,
        )


class Head(nn.Module):
    """The masked-language-model head; its output matrix is the word embeddings."""

    def __init__(self, config: Any, width: int) -> None:
        super().__init__()
        self.dense = Linear(config.hidden_size, width, config.biases)
        self.norm = nn.LayerNorm(width, config.layer_norm_eps, bias=config.biases)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.output: nn.Module | None = None
        self._activation = ACTIVATIONS[config.activation]

    def forward(self, features: Tensor, words: Tensor) -> Tensor:
        """Scores `(..., V)` of features `(..., hidden_size)`."""
        transformed = self.norm(self._activation(self.dense(features)))
        return linear(transformed, words, self.bias) if self.output is None else self.output(transformed)

    def keep(self, rows: list[int]) -> None:
        """Score only some tokens of the vocabulary, in this order."""
        self.bias = nn.Parameter(self.bias.detach()[rows], self.bias.requires_grad)
