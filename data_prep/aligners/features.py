"""What an aligner hears: cepstra of the mel spectrum every 10 ms, and how they change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from latent.audio.features import LogMel
from latent.audio.files import Samples

RATE, HOP_SECONDS = 16000, 0.01
_WINDOW, _MELS, _CEPSTRA, _FLOOR = 400, 40, 13, 1e-4
_REACH = 2
"""Frames on either side from which a change is computed."""

Frames = NDArray[np.float32]
"""`(T, 39)`; frame t is centered at t * `HOP_SECONDS`."""


class Heard(NamedTuple):
    """The cepstra of a recording, and how loud each frame is: its mean log mel energy, `(T,)`."""

    frames: Frames
    loudness: NDArray[np.float32]


def hear(samples: Samples) -> Heard:
    """Features of a signal `(S,)` at 16 kHz.

    Source: S. Davis, P. Mermelstein, Comparison of parametric representations for monosyllabic word recognition (1980);
    changes as in S. Furui, Speaker-independent isolated word recognition using dynamic features (1986).
    """
    analysis = LogMel(RATE, _MELS, _WINDOW, round(HOP_SECONDS * RATE), _FLOOR)
    mel = analysis(torch.from_numpy(samples)[None])[0].T.numpy()
    cosines = np.cos(np.pi * np.arange(_CEPSTRA)[:, None] * (np.arange(_MELS) + 0.5) / _MELS)
    cepstra = mel @ cosines.T * np.sqrt(2 / _MELS)
    change = _change(cepstra)
    return Heard(np.concatenate([cepstra, change, _change(change)], axis=1).astype(np.float32), mel.mean(axis=1))


def _change(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """The slope of the line through the values `(T, D)` around each one."""
    padded, count = np.pad(values, ((_REACH, _REACH), (0, 0)), "edge"), len(values)
    steps = range(1, _REACH + 1)
    rises = [step * (padded[_REACH + step :][:count] - padded[_REACH - step :][:count]) for step in steps]
    return np.sum(rises, axis=0) / (2 * sum(step**2 for step in steps))  # type: ignore[no-any-return]


class Scale(NamedTuple):
    """What makes frames normal, mean 0 and variance 1 over a corpus: their mean and deviation, `(D,)` each."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    @classmethod
    def of(cls, recordings: Sequence[Frames]) -> Scale:
        """That of a corpus."""
        everything = np.concatenate(recordings).astype(np.float64)
        return cls(everything.mean(axis=0), everything.std(axis=0) + 1e-3)

    def normal(self, frames: Frames) -> Frames:
        """The frames of one recording, about its own mean: what is left does not depend on microphone and voice.

        A short recording says little about its mean, so that of the corpus counts for a second.
        """
        prior = 1 / HOP_SECONDS
        mean = (frames.sum(axis=0) + prior * self.mean) / (len(frames) + prior)
        return ((frames - mean) / self.deviation).astype(np.float32)  # type: ignore[no-any-return]
