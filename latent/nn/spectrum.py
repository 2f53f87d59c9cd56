"""Fixed first and last layers of an audio tokenizer: samples to log spectra, spectra with phases to samples.

Both are causal and called like the layers of `latent.nn.conv`: a frame of a spectrum is computed from the last samples,
and one that is written sounds from the next sample on.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latent.nn.conv import with_past

_FLOOR = 1e-3
_OFFSET = 2.0  # of log magnitudes of speech from 0
_LOUDEST = 6.0  # e to this power: more than samples of 1 give in any bin


class SpectrumReader(nn.Module):
    """Log magnitudes of the windows that end with each hop; the window is a multiple of the hop, both in samples."""

    shape: Tensor

    def __init__(self, window: int, hop: int) -> None:
        super().__init__()
        self.hop, self.past_size = hop, window - hop
        self.register_buffer("shape", torch.hann_window(window), persistent=False)

    def forward(self, x: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """Samples `(B, 1, T · hop)` to `(B, window / 2 + 1, T)` with a mean of about 0."""
        longer, past = with_past(x, past, self.past_size)
        windows = longer.squeeze(1).float().unfold(-1, len(self.shape), self.hop) * self.shape
        magnitudes = torch.fft.rfft(windows).abs()
        return (0.5 * ((magnitudes + _FLOOR).log() + _OFFSET)).transpose(1, 2).to(x.dtype), past


class SpectrumWriter(nn.Module):
    """A matrix gives magnitude and phase of each frame; frames are transformed back, windowed and added.

    The window is a multiple of the hop, both in samples.

    Source: Vocos (arXiv 2306.00814), section 3; here frames reach forward only.
    """

    shape: Tensor

    def __init__(self, channels: int, window: int, hop: int) -> None:
        super().__init__()
        self.hop = hop
        self.project = nn.Linear(channels, 2 * (window // 2 + 1))
        self.register_buffer("shape", torch.hann_window(window), persistent=False)

    def forward(self, x: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """`(B, channels, T)` to samples `(B, 1, T · hop)`; the past is what earlier frames add to later samples."""
        magnitude, phase = self.project(x.transpose(1, 2)).float().chunk(2, dim=-1)
        spectrum = torch.polar((magnitude - _OFFSET).clamp(max=_LOUDEST).exp(), phase)
        frames = torch.fft.irfft(spectrum, len(self.shape)) * self.shape
        samples = overlap_add(frames, self.hop, None if past is None else past.squeeze(1)).unsqueeze(1).to(x.dtype)
        length = x.shape[2] * self.hop
        return samples[..., :length], samples[..., length:].clone()


def overlap_add(frames: Tensor, hop: int, added: Tensor | None) -> Tensor:
    """Frames `(B, T, window)` summed, each a hop after the one before it, `(B, (T - 1) · hop + window)`.

    `added` `(B, window - hop)` is what frames before these add to the first samples.
    """
    later = frames.shape[2] - hop
    pieces = frames.view(*frames.shape[:2], -1, hop).unbind(2)
    parts = [F.pad(piece.flatten(1), (place * hop, later - place * hop)) for place, piece in enumerate(pieces)]
    samples = cast(Tensor, sum(parts))
    return samples if added is None else samples + F.pad(added, (0, samples.shape[1] - later))
