"""Discriminators of recordings and reconstructions, on periods of the waveform and on bands of its spectrum.

Each maps audio `(B, 1, S)` to its feature maps in order; the last one is the score, high for recordings.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

Features = list[Tensor]

_SLOPE = 0.1
_COMPRESSION, _SOFTEST = 0.3, 1e-4  # power of magnitudes, and the magnitude below which it is linear
_BANDS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
"""Edges of the frequency bands, as shares of the highest frequency."""


class PeriodDiscriminator(nn.Module):
    """Convolutions over every p-th sample, for a period of p samples; `widths` are the channels of the layers.

    Source: HiFi-GAN (arXiv 2010.05646), section 2.3; its widths are 32, 128, 512, 1024, 1024.
    """

    def __init__(self, period: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.period = period
        layers = [_conv(before, after, (5, 1), (3, 1)) for before, after in pairwise([1, *widths[:-1]])]
        layers.append(_conv(widths[-2], widths[-1], (5, 1), (1, 1)))
        self.layers = nn.ModuleList(layers)
        self.score = _conv(widths[-1], 1, (3, 1), (1, 1))

    def forward(self, audio: Tensor) -> Features:
        """See the top of this file."""
        audio = F.pad(audio, (0, -audio.shape[-1] % self.period))
        x, features = audio.view(len(audio), 1, -1, self.period), []  # (B, 1, S / p, p)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), _SLOPE)
            features.append(x)
        return [*features, self.score(x)]


class SpectrumDiscriminator(nn.Module):
    """Convolutions over the complex spectrum, each band of frequencies with its own layers of `width` channels.

    The hop is a quarter of the window length, in samples. Magnitudes are compressed, or else the layers hear little but
    the loudest bins for a long time.

    Source: Descript Audio Codec (arXiv 2306.06546), section 3.4; its width is 32.
    """

    window: Tensor

    def __init__(self, window_length: int, width: int) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(window_length), persistent=False)
        bins = window_length // 2 + 1
        edges = [int(share * bins) for share in _BANDS]
        self._sizes = [after - before for before, after in pairwise(edges)]
        self.bands = nn.ModuleList(self._band(width) for _ in self._sizes)
        self.score = _conv(width, 1, (3, 3), (1, 1))

    def forward(self, audio: Tensor) -> Features:
        """See the top of this file."""
        size = len(self.window)
        audio = F.pad(audio.squeeze(1).float(), (0, max(0, size // 2 + 1 - audio.shape[-1])))
        spectrum = torch.stft(audio, size, size // 4, window=self.window, return_complex=True)
        spectrum = spectrum * spectrum.abs().clamp_min(_SOFTEST) ** (_COMPRESSION - 1)
        parts = torch.view_as_real(spectrum).permute(0, 3, 2, 1)  # (B, 2, frames, bins)
        features, ends = [], []
        for x, layers in zip(torch.split(parts, self._sizes, dim=-1), self.bands, strict=True):
            for layer in cast(nn.ModuleList, layers):
                x = F.leaky_relu(layer(x), _SLOPE)
                features.append(x)
            ends.append(x)
        return [*features, self.score(torch.cat(ends, dim=-1))]

    @staticmethod
    def _band(width: int) -> nn.ModuleList:
        narrowing = [_conv(width, width, (3, 9), (1, 2)) for _ in range(3)]
        return nn.ModuleList([_conv(2, width, (3, 9), (1, 1)), *narrowing, _conv(width, width, (3, 3), (1, 1))])


def _conv(in_channels: int, out_channels: int, kernel: tuple[int, int], stride: tuple[int, int]) -> nn.Module:
    padding = (kernel[0] // 2, kernel[1] // 2)
    conv: nn.Module = weight_norm(nn.Conv2d(in_channels, out_channels, kernel, stride, padding))
    return conv


def discriminator_loss(real: Sequence[Features], fake: Sequence[Features]) -> Tensor:
    """Squared distances of scores of recordings from 1, of reconstructions from 0, summed over discriminators."""
    losses = [(1 - r[-1]).square().mean() + f[-1].square().mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(losses).sum()


def adversarial_loss(fake: Sequence[Features]) -> Tensor:
    """Squared distances of scores of reconstructions from 1, summed over discriminators."""
    return torch.stack([(1 - features[-1]).square().mean() for features in fake]).sum()


def feature_loss(real: Sequence[Features], fake: Sequence[Features]) -> Tensor:
    """Mean absolute difference of the feature maps, without scores, summed over maps and discriminators."""
    pairs = [(r, f) for rs, fs in zip(real, fake, strict=True) for r, f in zip(rs[:-1], fs[:-1], strict=True)]
    return torch.stack([(r.detach() - f).abs().mean() for r, f in pairs]).sum()
