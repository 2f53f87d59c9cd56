"""Sequences that mix tokens and latents, for training and as prompts of generation."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from s2s.data.batch import Movable


@dataclass(frozen=True)
class MixedSequences(Movable):
    """Token sequences in which some slots hold a latent instead.

    Args:
        ids: Record ids, for messages.
        tokens: Token ids, `(B, T)` int64, padded on the right; what stands at the slots of latents is not read.
        lengths: True lengths, `(B,)` int64.
        latents: As the tokenizer sampled them, not normalised, `(M, L)`.
        latent_slots: Where they stand, as flat indices row · T + column, `(M,)` int64, ascending.
    """

    ids: list[str]
    tokens: Tensor
    lengths: Tensor
    latents: Tensor
    latent_slots: Tensor


@dataclass(frozen=True)
class MixedBatch(MixedSequences):
    """Sequences to learn from.

    Args:
        slots: Where a token is predicted: the flat index of the slot before it, `(N,)` int64. The token that stands
            for "a latent follows" is predicted like any other, else the model never learns when to stop.
        labels: Tokens to predict there, `(N,)` int64.
        predicted: Which latents are predicted, each from the slot before it: indices into `latents`, `(K,)` int64.
            Those of a voice prompt are only read.
        pad_id: The pad token.
    """

    slots: Tensor
    labels: Tensor
    predicted: Tensor
    pad_id: int
