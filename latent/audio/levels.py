"""Normalization of recordings: loudness, and the silence at both ends."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latent.audio.files import Samples

TARGET_DBFS = -25.0
_WINDOW_SECONDS, _HOP_SECONDS = 0.025, 0.010


def normalize_loudness(samples: Samples, dbfs: float = TARGET_DBFS) -> Samples:
    """Scale to a root-mean-square level in dB of full scale; a peak above 1 is then scaled down to 1.

    x * 10^(dbfs / 20) / (rms + 1e-6), then, if the peak exceeds 1, x / (peak + 1e-6).
    Source: `vibevoice-community/VibeVoice: vibevoice/processor/vibevoice_tokenizer_processor.py`.
    """
    rms = np.sqrt(np.mean(samples**2))
    scaled: Samples = (samples * (10 ** (dbfs / 20) / (rms + 1e-6))).astype(np.float32)
    peak = np.abs(scaled).max()
    if peak > 1:
        scaled = (scaled / np.float32(peak + 1e-6)).astype(np.float32)
    return scaled


@dataclass
class Loudness:
    """The level of a signal that is heard piece by piece, and the factor that brings it to a level.

    One factor for the whole signal, which gives what `normalize_loudness` gives.
    """

    num_samples: int = 0
    _energy: float = 0.0
    _peak: float = 0.0

    def hear(self, samples: Samples) -> None:
        """Take in the next samples `(L,)`."""
        self.num_samples += len(samples)
        self._energy += float(np.square(samples, dtype=np.float64).sum())
        self._peak = max(self._peak, float(np.abs(samples).max(initial=0.0)))

    @property
    def dbfs(self) -> float:
        """The level in dB of full scale, -inf for digital silence."""
        return 20 * math.log10(self._rms) if self._rms else -math.inf

    def factor(self, dbfs: float = TARGET_DBFS) -> float:
        """See `normalize_loudness`."""
        gain = float(10 ** (dbfs / 20)) / (self._rms + 1e-6)
        peak = gain * self._peak
        return gain / (peak + 1e-6) if peak > 1 else gain

    @property
    def _rms(self) -> float:
        return math.sqrt(self._energy / max(1, self.num_samples))


def trim_silence(samples: Samples, sample_rate: int, threshold_db: float = 40.0, keep_seconds: float = 0.1) -> Samples:
    """Samples `(L,)` without the silence at both ends; none where all are 0.

    Silence is frames of 25 ms that are `threshold_db` or more below the loudest one. `keep_seconds` of it stay at
    either end, so that no soft sound is cut.
    """
    span = loud_span(samples, sample_rate, threshold_db)
    if span is None:
        return samples[:0]
    keep = int(keep_seconds * sample_rate)
    return samples[max(0, span[0] - keep) : span[1] + keep]


def loud_span(samples: Samples, sample_rate: int, threshold_db: float) -> tuple[int, int] | None:
    """Samples [start, stop) between the silences at both ends, see `trim_silence`; None where all of them are 0."""
    levels = frame_levels(samples, sample_rate)
    if not np.isfinite(levels.max()):
        return None
    loud = np.flatnonzero(levels > levels.max() - threshold_db)
    hop = int(_HOP_SECONDS * sample_rate)
    return int(loud[0]) * hop, min(int(loud[-1]) * hop + int(_WINDOW_SECONDS * sample_rate), len(samples))


def frame_levels(samples: Samples, sample_rate: int) -> NDArray[np.float64]:
    """Root-mean-square level in dB of frames of 25 ms every 10 ms, -inf for digital silence; at least one frame."""
    window, hop = int(_WINDOW_SECONDS * sample_rate), int(_HOP_SECONDS * sample_rate)
    power = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
    starts = np.arange(0, max(1, len(samples) - window + hop), hop)
    stops = np.minimum(starts + window, len(samples))
    means: NDArray[np.float64] = np.maximum(power[stops] - power[starts], 0) / np.maximum(stops - starts, 1)
    means[means < 1e-14] = 0.0  # what the differences of large sums leave behind
    with np.errstate(divide="ignore"):
        levels: NDArray[np.float64] = 10 * np.log10(means)
    return levels
