"""The copy head: a gate between the vocabulary and the words of the source, and attention that chooses among these.

Axes: B sentences, Q outputs of each, S source slots, V vocabulary, E copied words beyond it.
Source: Zhou et al. 2017 (arXiv 1704.01792) and See et al. 2017 (arXiv 1704.04368); here with attention of its own, a
scaled product, so that any decoder can have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s2s.nn.cache import placed
from s2s.nn.linear import Linear
from s2s.nn.masks import additive


class Copying(NamedTuple):
    """What a copy head says of some outputs."""

    gate: Tensor
    """Score of copying against generating, before the sigmoid, `(..., Q)` float32."""
    attention: Tensor
    """Log-probability of each source slot, `(..., Q, S)` float32."""


@dataclass
class CopySources:
    """Sources to copy from while outputs are generated.

    Args:
        memory: Hidden states, `(B, S, D)`.
        keys: Keys of the copy head, `(B, S, D)`.
        ids: Extended ids, `(B, S)` int64; -1 where nothing can be copied.
        extra: E, the number of extended ids beyond the vocabulary.
        unknown: The token that stands for them where the model reads words.
    """

    memory: Tensor
    keys: Tensor
    ids: Tensor
    extra: int = 0
    unknown: int = 0

    def limited(self, tokens: Tensor, size: int) -> CopySources:
        """The same with `extra` and `unknown` as `tokens` `(B, S)` of a vocabulary of a `size` show them."""
        unknown = tokens[self.ids >= size]
        if len(unknown):
            self.extra, self.unknown = int(self.ids.max()) + 1 - size, int(unknown[0])
        return self

    def read(self, tokens: Tensor, size: int) -> Tensor:
        """Tokens as a model with a vocabulary of a `size` reads them."""
        return tokens.masked_fill(tokens >= size, self.unknown) if self.extra else tokens

    def select(self, sentences: Tensor) -> None:
        """Keep some sentences."""
        self.memory, self.keys, self.ids = (
            table.index_select(0, sentences) for table in (self.memory, self.keys, self.ids)
        )

    def join(self, other: CopySources, places: Sequence[int]) -> None:
        """See `s2s.decoding.base.JoinableState`."""
        self.unknown = self.unknown if self.extra else other.unknown
        self.extra = max(self.extra, other.extra)
        width = max(self.ids.shape[1], other.ids.shape[1])
        mine, theirs = ((0, width - sources.ids.shape[1]) for sources in (self, other))
        self.ids = placed(F.pad(self.ids, mine, value=-1), F.pad(other.ids, theirs, value=-1), places)
        self.memory = placed(F.pad(self.memory, (0, 0, *mine)), F.pad(other.memory, (0, 0, *theirs)), places)
        self.keys = placed(F.pad(self.keys, (0, 0, *mine)), F.pad(other.keys, (0, 0, *theirs)), places)


class CopyHead(nn.Module):
    """Gate and attention for outputs of a width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key = Linear(width, width), Linear(width, width)
        self.gate = Linear(2 * width, 1)

    def sources(self, memory: Tensor, ids: Tensor) -> CopySources:
        """Sources with hidden states `(B, S, D)` and extended ids `(B, S)`."""
        return CopySources(memory, self.key(memory), ids)

    def forward(self, outputs: Tensor, sources: CopySources) -> Copying:
        """What is copied at outputs `(B, Q, D)`."""
        scores = self.query(outputs) @ sources.keys.transpose(1, 2) / outputs.shape[-1] ** 0.5
        attention = (scores.float() + additive(sources.ids >= 0, torch.float32).unsqueeze(1)).log_softmax(-1)
        context = attention.exp().to(outputs.dtype) @ sources.memory
        gate = self.gate(torch.cat([outputs, context], -1)).squeeze(-1).float()
        return Copying(gate, attention)


def joint_scores(logits: Tensor, copying: Copying, sources: CopySources) -> Tensor:
    """Log-probabilities of the vocabulary and of copied words, `(B, Q, V + E)`; -inf for words of other sentences.

    A word that the source has several times, or that the vocabulary has too, gets the sum. `logits` are `(B, Q, V)`.
    """
    generated = logits.log_softmax(-1, dtype=torch.float32) + F.logsigmoid(-copying.gate).unsqueeze(-1)
    copied = (copying.attention + F.logsigmoid(copying.gate).unsqueeze(-1)).exp()
    copied = copied * (sources.ids >= 0).unsqueeze(1)
    joint = F.pad(generated.exp(), (0, sources.extra))
    ids = sources.ids.clamp(min=0).unsqueeze(1).expand_as(copied)
    return joint.scatter_add(-1, ids, copied).log()
