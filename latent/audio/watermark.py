"""An inaudible watermark that survives compression, by the network of the package resemble-perth (Perth).

The weights come from the package's wheel; the network is built here, because the package needs torchaudio and librosa.
The mark only says "synthetic"; it cannot hide a text.

The network works at 32 kHz on scaled levels in dB: it adds a residual to those below 2 kHz, in frames that are not
silent, and keeps the phase. Here the residual becomes a gain, and only the difference that it makes is added to the
signal, so that nothing else passes through resampling.

Source: resemble-perth 1.0.1 (Resemble AI, MIT license), "implicit" model.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from latent.audio.files import Samples
from latent.audio.resampling import resample
from s2s.errors import InputError

Mark = Callable[[Samples, int], Samples]
"""Marks samples `(S,)` of a rate in Hz; a loaded `Watermark` is one."""

_RATE, _WINDOW, _HOP = 32_000, 2048, 320
_BINS = 128  # up to 2 kHz
_FLOOR_DB, _RANGE_DB = -180.0, 195.0  # levels are scaled by (dB - floor) / range
_SILENT = 0.05  # share of the loudest frame's sum of levels
_SPEEDS = {"slow": 1.25, "normal": 1.0, "fast": 0.75}
_SHORTEST = 2 * _WINDOW


class Watermark:
    """Marks samples, and detects the mark; `weights` are those of the network, by name."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        self._weights = weights
        self._window = torch.hann_window(_WINDOW)

    @classmethod
    def load(cls) -> Watermark:
        """The network of the installed package.

        Raises:
            InputError: it is not installed, or holds other files than expected.
        """
        try:
            found = [path.locate() for path in files("resemble-perth") or [] if path.name.endswith(".pth.tar")]
            stored = torch.load(Path(str(found[0])), map_location="cpu", weights_only=True)
            return cls(stored["model"])
        except PackageNotFoundError as error:
            raise InputError('--watermark needs resemble-perth: pip install "unilatent[watermark]"') from error
        except (IndexError, KeyError, OSError, pickle.UnpicklingError) as error:
            raise InputError(f"resemble-perth: its weights cannot be read ({error!r}); expected 1.0.1") from error

    def __call__(self, samples: Samples, sample_rate: int) -> Samples:
        """The samples `(S,)` with the mark."""
        spectrum = self._spectrum(samples, sample_rate)
        levels = _levels(spectrum)
        residual = self._stack("encoder.layers", levels[None, :_BINS])[0] * _audible(levels)
        change = spectrum.clone()
        change[:_BINS] *= 10 ** (residual * (_RANGE_DB / 20)) - 1
        change[_BINS:] = 0
        added = torch.istft(change, _WINDOW, _HOP, window=self._window, length=(spectrum.shape[1] - 1) * _HOP)
        lower = resample(added.numpy(), _RATE, sample_rate)[: len(samples)]
        marked: Samples = samples + np.pad(lower, (0, len(samples) - len(lower)))
        return marked

    def confidence(self, samples: Samples, sample_rate: int) -> float:
        """Near 1 if the samples `(S,)` are marked, near 0 if not."""
        levels = _levels(self._spectrum(samples, sample_rate))
        audible = _audible(levels)
        votes, weights = [], []
        for name, speed in _SPEEDS.items():
            frames = max(1, int(levels.shape[1] * speed))
            changed = F.interpolate(levels[None, :_BINS], frames, mode="linear", align_corners=True)
            mask = F.interpolate(audible[None, None], frames, mode="nearest")[0]
            weight, vote = (self._stack(f"decoder.{name}_layers", changed)[0] * mask).sum(1) / mask.sum()
            votes.append(vote)
            weights.append(weight)
        mean = (torch.stack(votes) * torch.stack(weights).softmax(0)).sum()
        return float(mean.clamp(0, 1))

    def _spectrum(self, samples: Samples, sample_rate: int) -> Tensor:
        faster = resample(samples, sample_rate, _RATE)
        faster = np.pad(faster, (0, max(-len(faster) % _HOP, _SHORTEST - len(faster))))
        signal = torch.from_numpy(faster)
        return torch.stft(signal, _WINDOW, _HOP, window=self._window, pad_mode="reflect", return_complex=True)

    def _stack(self, name: str, x: Tensor) -> Tensor:
        """Seven convolutions, leaky ReLUs between: `(1, C, T)` to `(1, C', T)`."""
        for layer in range(7):
            weight, bias = (self._weights[f"{name}.{layer}.conv.{kind}"] for kind in ("weight", "bias"))
            x = F.conv1d(F.leaky_relu(x) if layer else x, weight, bias, padding=weight.shape[2] // 2)
        return x


def _levels(spectrum: Tensor) -> Tensor:
    return (20 * torch.log10(spectrum.abs().clamp(min=1e-9)) - _FLOOR_DB) / _RANGE_DB


def _audible(levels: Tensor) -> Tensor:
    """1 for frames that are not silent, else 0, `(T,)`."""
    sums = levels.sum(0)
    return (sums > _SILENT * sums.max()).float()
