"""Segments of audio; sequences that mix tokens and latents, for training and as prompts of generation."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from latent.data.cues import NO_CUE, TimedText
from s2s.data.batch import Movable


@dataclass(frozen=True)
class MixedSequences(Movable):
    """Token sequences in which some slots hold a latent instead.

    Args:
        ids: Record ids, for messages.
        tokens: Token ids, `(B, T)` int64, padded on the right; what stands at the slots of latents is not read.
        lengths: True lengths, `(B,)` int64.
        latents: As the tokenizer sampled them, not normalized, `(M, L)`.
        latent_slots: Where they stand, as flat indices row · T + column, `(M,)` int64, ascending.
        positions: Position ids, `(B, T)` int64, ascending in a row; those after a row count on from its last one. None:
            the columns.
        cues: Tokens that sound around the latent that follows a slot, `(B, T, C)` int64; `NO_CUE` where none follows.
            None: no cues at all.
    """

    ids: list[str]
    tokens: Tensor
    lengths: Tensor
    latents: Tensor
    latent_slots: Tensor
    positions: Tensor | None = field(default=None, kw_only=True)
    cues: Tensor | None = field(default=None, kw_only=True)

    def position_ids(self) -> Tensor:
        """Position ids, `(B, T)` or `(1, T)`."""
        if self.positions is not None:
            return self.positions
        return torch.arange(self.tokens.shape[1], device=self.tokens.device).unsqueeze(0)


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
        timed: Texts to learn durations from, in batches with cues.
    """

    slots: Tensor
    labels: Tensor
    predicted: Tensor
    pad_id: int
    timed: TimedText | None = field(default=None, kw_only=True)

    @property
    def num_tokens(self) -> int:
        """Tokens and latents that are not padding."""
        return int(self.lengths.sum())


@dataclass(frozen=True)
class GenerationPrompts(Movable):
    """What speech is generated from.

    Args:
        conditional: What the latents are to go on from: text, speaker, voice prompt.
        unconditional: The same rows without what guidance is to strengthen; not read without guidance.
        latent_token: Token that stands for "a latent follows".
        end_token: Token that ends the latents.
        seeds: One per row; a row depends on its own alone.
        temperatures: Factor of the noise that a latent is drawn from, `(B,)`; 1 is what training saw.
        max_frames: Latents after which a row is cut, one per row.
        cues: Of the first latents of each row, `(B, F, C)` int64; from the last one on they stay as they are. None: the
            model has none.
    """

    conditional: MixedSequences
    unconditional: MixedSequences
    latent_token: int
    end_token: int
    seeds: list[int]
    temperatures: Tensor
    max_frames: list[int]
    cues: Tensor | None = None


def stacked(first: MixedSequences, second: MixedSequences) -> MixedSequences:
    """The rows of two batches in one, padded with token 0 to the longer."""
    width = max(first.tokens.shape[1], second.tokens.shape[1])
    slots, positions = [], []
    for before, part in ((0, first), (len(first.ids), second)):
        narrow = part.tokens.shape[1]
        row, column = part.latent_slots // narrow, part.latent_slots % narrow
        slots.append((before + row) * width + column)
        positions.append(F.pad(part.position_ids().expand(len(part.ids), -1), (0, width - narrow)))
    return MixedSequences(
        ids=[*first.ids, *second.ids],
        tokens=torch.cat([F.pad(part.tokens, (0, width - part.tokens.shape[1])) for part in (first, second)]),
        lengths=torch.cat([first.lengths, second.lengths]),
        latents=torch.cat([first.latents, second.latents]),
        latent_slots=torch.cat(slots),
        positions=torch.cat(positions) if any(part.positions is not None for part in (first, second)) else None,
        cues=_stacked_cues(first, second, width),
    )


def _stacked_cues(first: MixedSequences, second: MixedSequences, width: int) -> Tensor | None:
    given = next((part.cues for part in (first, second) if part.cues is not None), None)
    if given is None:
        return None
    stacked = given.new_full((len(first.ids) + len(second.ids), width, given.shape[2]), NO_CUE)
    for before, part in ((0, first), (len(first.ids), second)):
        if part.cues is not None:
            stacked[before : before + len(part.ids), : part.cues.shape[1]] = part.cues
    return stacked


@dataclass(frozen=True)
class AudioBatch(Movable):
    """Segments of audio, all of one length.

    Args:
        ids: Record ids, for messages.
        audio: Samples from -1 to 1, `(B, 1, S)`; a recording that is shorter is filled with zeros.
        sample_rate: In Hz.
    """

    ids: list[str]
    audio: Tensor
    sample_rate: int

    @property
    def num_tokens(self) -> int:
        """Samples."""
        return self.audio.numel()
