"""Parts of recurrent encoder-decoders: an encoder of both directions, additive attention, and a readout with maxout.

Axes: B sentences, Q outputs of each, S source slots, D width of memory and states, E width of words.
Source: Bahdanau et al. 2015 (arXiv 1409.0473); Zhou et al. 2017 (arXiv 1704.01792) and its program, magic282/NQG.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from s2s.nn.linear import Linear
from s2s.nn.masks import additive


class RecurrentEncoder(nn.Module):
    """A GRU in both directions, of half the width each."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.gru = nn.GRU(inputs, width // 2, batch_first=True, bidirectional=True)
        self.bridge = Linear(width // 2, width)

    def forward(self, words: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Memory `(B, S, D)`, zero at padding, and the first state of a decoder, `(B, D)`.

        The state is made from where the backward direction ends. Inputs are words `(B, S, inputs)`, padded on the
        right, and their `lengths` `(B,)`.
        """
        packed = pack_padded_sequence(words, lengths.cpu(), batch_first=True, enforce_sorted=False)
        read, last = self.gru(packed)
        memory, _ = pad_packed_sequence(read, batch_first=True, total_length=words.shape[1])
        return memory, torch.tanh(self.bridge(last[1]))


class Output(NamedTuple):
    """What a decoder has at some outputs."""

    state: Tensor
    """`(B, Q, D)`."""
    context: Tensor
    """Mean of the memory under the attention, `(B, Q, D)`."""
    energies: Tensor
    """Scores of each source slot before the softmax, `(B, Q, S)` float32; -inf at padding."""


class RecurrentDecoder(nn.Module):
    """A GRU cell that reads a word and its last context (input feeding), and then attends to the memory."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(inputs + width, width)
        self.query, self.key = Linear(width, width, bias=False), Linear(width, width)
        self.energy = Linear(width, 1, bias=False)

    def forward(
        self, words: Tensor, state: Tensor, context: Tensor, memory: Tensor, keys: Tensor, real: Tensor
    ) -> Output:
        """One step for words `(B, Q, E)`, each with its state and context `(B, Q, D)`.

        Args:
            memory: `(B, S, D)`.
            keys: `self.key(memory)`.
            real: Source slots that are not padding, `(B, S)` bool.
        """
        fed = torch.cat([words, context], -1)
        state = self.cell(fed.flatten(0, 1), state.flatten(0, 1)).view_as(state)
        together = torch.tanh(self.query(state).unsqueeze(2) + keys.unsqueeze(1))
        energies = self.energy(together).squeeze(-1).float() + additive(real, torch.float32).unsqueeze(1)
        return Output(state, energies.softmax(-1).to(memory.dtype) @ memory, energies)


class MaxoutReadout(nn.Module):
    """What is predicted from: the larger of each two of a layer's outputs, half of the width."""

    def __init__(self, inputs: int, width: int, dropout: float) -> None:
        super().__init__()
        self.layer, self.dropout = Linear(inputs, width), nn.Dropout(dropout)

    def forward(self, *parts: Tensor) -> Tensor:
        """Features `(..., width // 2)` of parts `(..., n)`, whose widths add up to `inputs`."""
        pairs = self.layer(torch.cat(parts, -1)).unflatten(-1, (-1, 2))
        return self.dropout(pairs.amax(-1))  # type: ignore[no-any-return]
