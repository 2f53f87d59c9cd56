"""Cues: which tokens of the text sound around the next latent, from times that an alignment or a model gives.

A small model with little data hardly learns its place in the text by attention; cues give it the place. FastSpeech
(arXiv 1905.09263) repeats hidden states of text over frames; here the tokens themselves are repeated, several to a
latent, because a latent lasts about as long as a phoneme.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latent.data.manifest import Sounding
from s2s.data.batch import Movable
from s2s.errors import InputError

NO_CUE = 0
"""Fills the cue of a slot that has none; its embedding is 0."""


@dataclass(frozen=True)
class CueWindow:
    """The instants around the next latent at which the sounding token is looked up.

    There are `per_latent`, evenly spaced, in that latent, in each of those `before` and in each of those `after`.
    """

    per_latent: int
    before: int
    after: int

    @property
    def size(self) -> int:
        """Tokens in a cue."""
        return (self.before + 1 + self.after) * self.per_latent

    def cues(self, tokens: Sequence[int], durations: NDArray[np.float64], count: int) -> NDArray[np.int64]:
        """The cues `(count, size)` of the first latents, in the order of time.

        Args:
            tokens: The N tokens, one after the other from time 0 on; the first also fills the time before, the last
                that after.
            durations: In latents, `(N,)`, not negative.
            count: Number of latents.
        """
        instants = (np.arange(self.size) + 0.5) / self.per_latent - self.before
        times = np.arange(count)[:, None] + instants
        sounding = np.searchsorted(np.cumsum(durations), times, side="right")
        return np.asarray(tokens, np.int64)[np.minimum(sounding, len(tokens) - 1)]


@dataclass(frozen=True)
class TimedRow:
    """A text with its durations.

    Args:
        tokens: N tokens from `latent.data.vocabulary.timed_tokens`.
        speaker: The token of the speaker.
        durations: In latents, `(N,)`.
        voice: Mean latent of the voice prompt, `(L,)`; NaN if the speaker's name says enough.
    """

    tokens: Sequence[int]
    speaker: int
    durations: NDArray[np.float64]
    voice: NDArray[np.float32]


@dataclass(frozen=True)
class TimedText(Movable):
    """Texts to learn durations from.

    Args:
        tokens: The start of speech, the text, the end of speech, `(B, N)` int64; padding holds 0.
        speakers: Their tokens, `(B,)` int64.
        durations: In latents, `(B, N)` float32; 0 for padding.
        voices: Mean latents of the voice prompts, `(B, L)` float32; NaN in rows that need none.
    """

    tokens: Tensor
    speakers: Tensor
    durations: Tensor
    voices: Tensor

    @property
    def num_tokens(self) -> int:
        """Number of tokens without padding."""
        return int((self.tokens != 0).sum())


def timed_text(rows: Sequence[TimedRow]) -> TimedText:
    """The rows as one padded batch."""
    width = max(len(row.tokens) for row in rows)
    durations = [np.pad(row.durations, (0, width - len(row.durations))) for row in rows]
    return TimedText(
        torch.tensor([[*row.tokens, *[0] * (width - len(row.tokens))] for row in rows]),
        torch.tensor([row.speaker for row in rows]),
        torch.from_numpy(np.stack(durations)).float(),
        torch.from_numpy(np.stack([row.voice for row in rows])),
    )


def token_durations(
    sounds: Sequence[str | None], alignment: Sequence[Sounding], latents: int, frame_rate: float
) -> NDArray[np.float64]:
    """Durations of the tokens of a text, and of the silences around it.

    Args:
        sounds: The name of each token in alignments; None for marks and blanks, which are silent. A silence belongs to
            the first mark in it.
        alignment: When each sound is spoken.
        latents: Length of the recording.
        frame_rate: Latents per second.

    Returns:
        In latents: the silence before the text, all tokens, the silence after it, `(len(sounds) + 2,)`; their sum is
        `latents`.

    Raises:
        InputError: the alignment is of another text.
    """
    expected = [sound for sound in sounds if sound is not None]
    found = [sound.unit for sound in alignment]
    if expected != found:
        place = next((i for i, pair in enumerate(zip(expected, found, strict=False)) if pair[0] != pair[1]), None)
        where = min(len(expected), len(found)) if place is None else place
        shown = [f"{where_of[where]!r}" if where < len(where_of) else "the end" for where_of in (expected, found)]
        raise InputError(f"'alignment' does not fit 'text': sound {where + 1} must be {shown[0]}, found {shown[1]}")
    durations = np.zeros(len(sounds) + 2)
    silence, now, index = 0, 0.0, 0  # `silence`: the token that takes the next silence
    for token, sound in enumerate(sounds, start=1):
        if sound is None:
            silence = token if silence < 0 else silence
            continue
        start, end = (min(time * frame_rate, latents) for time in (alignment[index].start, alignment[index].end))
        durations[silence if silence >= 0 else token] += start - now
        durations[token] += end - start
        silence, now, index = -1, end, index + 1
    durations[-1] = latents - now
    return durations
