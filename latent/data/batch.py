"""Segments of audio; sequences that mix tokens and latents, for training and as prompts; sources of latents."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from latent.data.cues import NO_CUE, TimedText
from s2s.data.batch import Feeding, Movable, SourceBatch, TokenBatch


@dataclass(frozen=True)
class MixedSequences(Movable):
    """Token sequences in which some slots hold a latent instead.

    Args:
        ids: Record ids, for messages.
        tokens: Token ids, `(B, T)` int64, padded on the right; those at the slots of latents are not read.
        lengths: True lengths, `(B,)` int64.
        latents: As the tokenizer sampled them, not normalized, `(M, L)`.
        latent_slots: Their slots, as ascending flat indices row · T + column, `(M,)` int64.
        positions: Position ids, `(B, T)` int64, ascending in a row. None: the columns.
        cues: Tokens that sound around the latent after each slot, `(B, T, C)` int64; `NO_CUE` where none follows.
        features: What a second encoder makes of the audio of some latents, `(N, S)`.
        feature_slots: The slots of these latents, as flat indices, `(N,)` int64.
    """

    ids: list[str]
    tokens: Tensor
    lengths: Tensor
    latents: Tensor
    latent_slots: Tensor
    positions: Tensor | None = field(default=None, kw_only=True)
    cues: Tensor | None = field(default=None, kw_only=True)
    features: Tensor | None = field(default=None, kw_only=True)
    feature_slots: Tensor | None = field(default=None, kw_only=True)

    def position_ids(self) -> Tensor:
        """Position ids, `(B, T)` or `(1, T)`."""
        if self.positions is not None:
            return self.positions
        return torch.arange(self.tokens.shape[1], device=self.tokens.device).unsqueeze(0)


@dataclass(frozen=True)
class MixedBatch(MixedSequences):
    """Sequences to learn from.

    Args:
        slots: Flat indices of the slots that predict a token, `(N,)` int64. "A latent follows" is predicted like any
            other token, so that the model learns when to stop.
        labels: The tokens after these slots, `(N,)` int64.
        predicted: The latents that are predicted, each from the slot before it, as indices into `latents`, `(K,)`
            int64. Those of a voice prompt are only read.
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
        """Number of tokens and latents without padding."""
        return int(self.lengths.sum())


@dataclass(frozen=True)
class GenerationPrompts(Movable):
    """What speech is generated from.

    Args:
        conditional: Text, speaker and voice prompt of each row.
        unconditional: The same rows without the conditions that guidance strengthens; not read without guidance.
        textual: The same rows with the text but without the voice, for a guidance of the speaker alone; None for
            models that cannot do without the voice.
        latent_token: Token for "a latent follows".
        end_token: Token that ends the latents.
        seeds: One per row; a row depends on its own alone.
        temperatures: Factor of the noise that a latent is drawn from, `(B,)`; training used 1.
        max_frames: Maximum number of latents of each row.
        cues: Of the first F latents of each row, `(B, F, C)` int64; later latents have the last one.
    """

    conditional: MixedSequences
    unconditional: MixedSequences
    latent_token: int
    end_token: int
    seeds: list[int]
    temperatures: Tensor
    max_frames: list[int]
    cues: Tensor | None = None
    textual: MixedSequences | None = None


def stacked(*parts: MixedSequences) -> MixedSequences:
    """The rows of some batches in one, padded with token 0 to the longest."""
    width = max(part.tokens.shape[1] for part in parts)
    size = max(0 if part.cues is None else part.cues.shape[2] for part in parts)
    tokens, slots, positions, cues, before = [], [], [], [], 0
    for part in parts:
        rows, narrow = part.tokens.shape
        more = width - narrow
        tokens.append(F.pad(part.tokens, (0, more)))
        slots.append((before + part.latent_slots // narrow) * width + part.latent_slots % narrow)
        positions.append(F.pad(part.position_ids().expand(rows, -1), (0, more)))
        given = part.tokens.new_full((rows, narrow, size), NO_CUE) if part.cues is None else part.cues
        cues.append(F.pad(given, (0, 0, 0, more), value=NO_CUE))
        before += rows
    return MixedSequences(
        ids=[id for part in parts for id in part.ids],
        tokens=torch.cat(tokens),
        lengths=torch.cat([part.lengths for part in parts]),
        latents=torch.cat([part.latents for part in parts]),
        latent_slots=torch.cat(slots),
        positions=torch.cat(positions) if any(part.positions is not None for part in parts) else None,
        cues=torch.cat(cues) if size else None,
    )


NOT_HEARD = "model.name: this model reads latents, and the task gives it none; that of speech_recognition does"
"""Message of models whose batches must be `HeardBatch` or `LatentSources`."""


@dataclass(frozen=True)
class HeardBatch(TokenBatch):
    """Texts to learn from; between the first and the last token of its source each row holds latents.

    Args:
        latents: As the tokenizer sampled them, not normalized, `(M, L)`.
        latent_slots: Their slots, as ascending flat indices, `(M,)` int64; the tokens there are not read.
        texts: The whole targets without the end token, `(B, U)` int64, padded on the right.
        text_lengths: True lengths of the texts, `(B,)` int64.
        feeding: How the model is fed while it writes.
    """

    latents: Tensor
    latent_slots: Tensor
    texts: Tensor
    text_lengths: Tensor
    feeding: Feeding


@dataclass(frozen=True)
class LatentSources(SourceBatch):
    """Sources of latents to write about; `latents` and `latent_slots` as in `HeardBatch`.

    The tokens at the slots of latents are pad tokens, the blank of CTC.
    """

    latents: Tensor
    latent_slots: Tensor

    @property
    def sequences(self) -> MixedSequences:
        """The same as a LatentLM reads them."""
        return MixedSequences(self.ids, self.tokens, self.lengths, self.latents, self.latent_slots)


NOT_SEEN = "model.name: this model reads pictures, and the task gives it none; that of captioning does"
"""Message of models whose batches must be `SeenBatch` or `SeenSources`."""


@dataclass(frozen=True)
class SeenBatch(TokenBatch):
    """Captions to learn from; the first `places` slots of each row are those of a picture, whose tokens are not read.

    Args:
        images: Pixels from -1 to 1, `(B, C, S, S)`.
        places: Slots of a picture: one for the whole, then one for each patch, in raster order.
    """

    images: Tensor
    places: int


@dataclass(frozen=True)
class SeenSources(SourceBatch):
    """Pictures to write about; `images` and `places` as in `SeenBatch`.

    Args:
        alone: Whether only the start of a text follows the picture, equally long in all rows. It sees the picture,
            which does not see it; a whole text and its picture see each other.
    """

    images: Tensor
    places: int
    alone: bool

    @property
    def context(self) -> int:
        """See `SourceBatch`."""
        return self.places if self.alone else self.tokens.shape[1]

    def steps(self) -> Tensor:
        """See `SourceBatch`."""
        steps = super().steps()
        if self.alone:
            steps[:, self.places :] += 1
        return steps


def picture_slots(tokens: Tensor, places: int) -> Tensor:
    """The flat slots of the pictures in a batch of tokens `(B, L)`, row by row, `(B * places,)`."""
    rows = torch.arange(len(tokens), device=tokens.device).unsqueeze(1) * tokens.shape[1]
    return (rows + torch.arange(places, device=tokens.device)).flatten()


@dataclass(frozen=True)
class AudioBatch(Movable):
    """Segments of audio: samples from -1 to 1, `(B, 1, S)`, at a rate in Hz; shorter recordings end in zeros."""

    ids: list[str]
    audio: Tensor
    sample_rate: int

    @property
    def num_tokens(self) -> int:
        """Number of samples."""
        return self.audio.numel()


@dataclass(frozen=True)
class PictureBatch(Movable):
    """Pictures: pixels from -1 to 1, `(B, C, S, S)`."""

    ids: list[str]
    images: Tensor

    @property
    def num_tokens(self) -> int:
        """Number of pixels."""
        return self.images[:, 0].numel()


@dataclass(frozen=True)
class MaskedPictures(PictureBatch):
    """Pictures, and which of their patches are hidden, `(B, N)` bool: as many of each, in raster order."""

    mask: Tensor

    @property
    def num_masked(self) -> int:
        """Masked patches of all pictures."""
        return self.mask.shape[0] * int(self.mask[0].sum())

    @property
    def grid_size(self) -> int:
        """Patches of a picture, a side."""
        return math.isqrt(self.mask.shape[1])
