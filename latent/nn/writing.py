"""Text that a causal Transformer writes after prompts: prompts of any lengths in one pool, shared by hypotheses.

A prompt is read piece by piece, so that of a long recording only keys and values stay in memory. Each prompt is read
alone; then prompts join into a batch, and all hypotheses of a text share the keys of its prompt.

Axes: B texts, K hypotheses of each, T new positions, D hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from latent.nn.transformer import LayerAttention
from s2s.errors import InputError
from s2s.nn.attention import Attention
from s2s.nn.cache import Pool, placed

_ROOM = 256
"""Positions by which the memory of keys and values grows when it is full."""


@dataclass
class TextState:
    """What the model remembers of B texts; the caller holds it. A `JoinableState` of `s2s`.

    Args:
        pool: Keys and values.
        following: Position id of the next token, `(B,)` int64.
        hidden: Hidden state of the last position of each prompt, `(B, D)`.
    """

    pool: Pool
    following: Tensor
    hidden: Tensor

    @property
    def num_bytes(self) -> int:
        """Bytes of keys and values in use."""
        return self.pool.num_bytes

    def select(self, sentences: Tensor | None, parents: Tensor) -> None:
        """See `s2s.decoding.base.State`."""
        self.pool.select(sentences, parents)
        if sentences is not None:
            self.following = self.following.index_select(0, sentences)
            self.hidden = self.hidden.index_select(0, sentences)

    def join(self, other: TextState, places: Sequence[int]) -> None:
        """See `s2s.decoding.base.JoinableState`."""
        self.pool.join(other.pool, places, _ROOM)
        self.following = placed(self.following, other.following, places)
        self.hidden = placed(self.hidden, other.hidden, places)

    def forget(self, positions: int) -> None:
        """Drop the last positions of the only text; what follows takes their place."""
        self.pool.forget(positions)
        self.following = self.following - positions


class Writing:
    """How a model reads prompts and goes on with them.

    Args:
        language: A `LatentLM`, in evaluation mode.
    """

    def __init__(self, language: Any) -> None:
        self.language = language

    def empty(self, capacity: int) -> TextState:
        """One text without a prompt, with memory for that many positions; more is taken when it is needed."""
        config, like = self.language.config, self.language.embeddings.weight
        width = config.hidden_size // config.num_heads
        buffer = like.new_zeros(config.num_layers, 2, 1, config.num_kv_heads, capacity, width)
        nothing = torch.zeros(1, 0, dtype=torch.int64, device=like.device)
        return TextState(Pool(buffer, nothing.bool(), nothing), nothing.new_zeros(1), like.new_zeros(1, like.shape[1]))

    def read(self, state: TextState, embedded: Tensor) -> Tensor:
        """Read T more positions of prompts `(B, T, D)`; returns their hidden states, in the same shape.

        Raises:
            InputError: the model has no room for them.
        """
        count = embedded.shape[1]
        self.check_lengths(state.following, count)
        positions = state.following.unsqueeze(1) + torch.arange(count, device=embedded.device)
        attention = _of_blocks(state.pool.feed(positions, count, _ROOM, None))
        hidden = self.language.read(embedded, positions, attention)
        state.following, state.hidden = state.following + count, hidden[:, -1]
        return hidden  # type: ignore[no-any-return]

    def write(self, state: TextState, tokens: Tensor) -> Tensor:
        """Append the next token `(B, K)` of each hypothesis; returns its hidden state, `(B, K, D)`."""
        positions = state.following.unsqueeze(1)
        attention = _of_blocks(state.pool.feed(positions, 1, _ROOM, None))
        embedded = self.language.embeddings(tokens)  # (B, K, D): a hypothesis stands where a position would
        hidden = self.language.read(embedded, positions.expand_as(tokens), attention)
        last = self.language.config.max_positions - 1
        state.following = (state.following + 1).clamp(max=last)  # texts that are complete may go on in the batch
        return hidden  # type: ignore[no-any-return]

    def check_lengths(self, lengths: Tensor, max_steps: int) -> None:
        """See `s2s.decoding.base.StepModel`."""
        needed, room = int(lengths.max()) + max_steps, self.language.config.max_positions
        if needed > room:
            raise InputError(f"the sequence would reach {needed} positions, the model has {room}")


def joined(states: Sequence[TextState]) -> TextState:
    """The states of texts as one; they are used up."""
    state = states[0]
    for place, other in enumerate(states[1:], start=1):
        state.join(other, [place])
    return state


def _of_blocks(attention: Callable[[int], Attention]) -> Callable[[int], LayerAttention]:
    """The attention of a pool as that of causal blocks, whose axes have another order."""

    def of_layer(layer: int) -> LayerAttention:
        look_up = attention(layer)

        def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            keys_values = torch.stack([keys, values]).permute(1, 3, 0, 2, 4)  # (B, T, 2, G, width)
            return look_up(queries.transpose(1, 2), keys_values, 0.0).transpose(1, 2)

        return attend

    return of_layer
