"""Spectral features in plain torch: magnitude STFT, mel filters, log-mel. Differentiable, on any device.

Own code instead of torchaudio, whose builds are tied to one build of torch; a test compares the filters with the ones
in transformers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def stft_magnitude(audio: Tensor, window: Tensor, hop_length: int) -> Tensor:
    """Magnitudes `(B, W // 2 + 1, L // hop + 1)` of audio `(B, L)`, frames centered at multiples of the hop in samples.

    `window` `(W,)` gives the FFT size too; audio shorter than half of it is padded with zeros.
    """
    size = len(window)
    audio = F.pad(audio, (0, max(0, size // 2 + 1 - audio.shape[-1])))  # reflection needs that many
    spectrum = torch.stft(audio, size, hop_length, window=window, center=True, pad_mode="reflect", return_complex=True)
    return spectrum.abs()


def mel_filters(sample_rate: int, n_fft: int, n_mels: int, f_min: float = 0.0, f_max: float | None = None) -> Tensor:
    """Triangular filters `(n_mels, n_fft // 2 + 1)` on the mel scale of Slaney's Auditory Toolbox, of equal area.

    The scale is linear below 1 kHz (15 mels) and logarithmic above (27 mels per factor of 6.4). With many mels and a
    short window, low filters can be 0.

    Source: M. Slaney, Auditory Toolbox, Interval Research TR 1998-010; the default of librosa.
    """
    top = sample_rate / 2 if f_max is None else f_max
    ends = _to_mel(torch.tensor([f_min, top], dtype=torch.float64))
    corners = _to_hertz(torch.linspace(float(ends[0]), float(ends[1]), n_mels + 2, dtype=torch.float64))
    bins = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    low, middle, high = (corners[i : i + n_mels, None] for i in range(3))
    rising = (bins - low) / (middle - low)
    falling = (high - bins) / (high - middle)
    area = 2 / (high - low)
    return (torch.minimum(rising, falling).clamp(min=0) * area).float()


class LogMel(nn.Module):
    """Log10 mel spectrogram `(B, n_mels, T)` of audio `(B, L)`.

    Args:
        sample_rate: Of the audio, in Hz.
        n_mels: Number of filters.
        window_length: In samples, also the FFT size.
        hop_length: In samples; a quarter of the window if None.
        floor: Smallest value under the logarithm.
    """

    window: Tensor
    filters: Tensor

    def __init__(
        self, sample_rate: int, n_mels: int, window_length: int, hop_length: int | None = None, floor: float = 1e-5
    ) -> None:
        super().__init__()
        self.hop_length, self.floor = hop_length or window_length // 4, floor
        self.register_buffer("window", torch.hann_window(window_length), persistent=False)
        self.register_buffer("filters", mel_filters(sample_rate, window_length, n_mels), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        mel = self.filters @ stft_magnitude(audio, self.window, self.hop_length)
        return mel.clamp(min=self.floor).log10()


_KNEE_HERTZ, _KNEE_MEL = 1000.0, 15.0
_HERTZ_PER_MEL = _KNEE_HERTZ / _KNEE_MEL
_LOG_STEP = torch.tensor(6.4, dtype=torch.float64).log() / 27


def _to_mel(hertz: Tensor) -> Tensor:
    above = _KNEE_MEL + (hertz.clamp(min=_KNEE_HERTZ) / _KNEE_HERTZ).log() / _LOG_STEP
    return torch.where(hertz < _KNEE_HERTZ, hertz / _HERTZ_PER_MEL, above)


def _to_hertz(mel: Tensor) -> Tensor:
    above = _KNEE_HERTZ * (_LOG_STEP * (mel - _KNEE_MEL)).exp()
    return torch.where(mel < _KNEE_MEL, mel * _HERTZ_PER_MEL, above)
