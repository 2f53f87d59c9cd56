"""Fundamental frequency of speech by YIN, and what it does at the end of a sentence.

Source: de Cheveigné and Kawahara, YIN, a fundamental frequency estimator for speech and music (JASA 111, 2002),
equations 6 to 8 and steps 4 and 5.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from eval.metric import Array
from latent.audio.files import Samples

SAMPLE_RATE = 16000
LOWEST, HIGHEST = 60.0, 500.0
"""Hz of the voices that are found."""
HOP_SECONDS = 0.01
END_SECONDS = 0.3
"""The end of a sentence, up to the last voiced frame."""
_WINDOW = 512  # samples that are compared with later ones
_APERIODIC = 0.15  # cumulative mean normalized difference above which a frame is unvoiced
_SOFT_DB, _SILENT_DBFS = 35.0, -80.0  # below the loudest frame, and of full scale: unvoiced
_FEWEST = 5  # voiced frames of an end whose pitch is known


def pitch(samples: Samples) -> Array:
    """Hz of samples `(L,)` at 16 kHz every 10 ms, `(T,)`; NaN in unvoiced frames."""
    longest, hop = int(SAMPLE_RATE / LOWEST), round(HOP_SECONDS * SAMPLE_RATE)
    size = _WINDOW + longest
    padded = np.pad(samples.astype(np.float64), (0, max(0, size - len(samples))))
    frames = sliding_window_view(padded, size)[::hop]
    level = 10 * np.log10(np.square(frames[:, :_WINDOW]).mean(1) + 1e-12)
    lags, aperiodicity = _best_lags(_normalized_differences(frames, longest))
    voiced = (aperiodicity < _APERIODIC) & (level > max(level.max() - _SOFT_DB, _SILENT_DBFS))
    return np.where(voiced, SAMPLE_RATE / lags, np.nan)


def semitones(frequencies: Array, reference: float) -> Array:
    """Semitones above a reference in Hz."""
    return np.asarray(12 * np.log2(frequencies / reference))


def ending(samples: Samples) -> float:
    """Median pitch of the last 0.3 s of a sentence, in semitones above its median; NaN where too little is voiced."""
    found = pitch(samples)
    voiced = np.flatnonzero(~np.isnan(found))
    if not len(voiced):
        return np.nan
    end = found[max(0, voiced[-1] + 1 - round(END_SECONDS / HOP_SECONDS)) : voiced[-1] + 1]
    if np.count_nonzero(~np.isnan(end)) < _FEWEST:
        return np.nan
    return float(np.nanmedian(semitones(end, float(np.nanmedian(found)))))


def _normalized_differences(frames: Array, longest: int) -> Array:
    """Cumulative mean normalized difference of frames `(T, window + longest)` at lags 0 to `longest`, equation 8."""
    size = 1 << (frames.shape[1] + _WINDOW).bit_length()
    products = np.fft.rfft(frames, size) * np.conj(np.fft.rfft(frames[:, :_WINDOW], size))
    correlation = np.fft.irfft(products, size)[:, : longest + 1]
    power = np.pad(np.cumsum(np.square(frames), 1), ((0, 0), (1, 0)))
    later = power[:, _WINDOW : _WINDOW + longest + 1] - power[:, : longest + 1]
    difference = np.maximum(later[:, :1] + later - 2 * correlation, 0)
    means = np.cumsum(difference[:, 1:], 1) / np.arange(1, longest + 1)
    return np.pad(difference[:, 1:] / np.maximum(means, 1e-12), ((0, 0), (1, 0)), constant_values=1.0)


def _best_lags(differences: Array) -> tuple[Array, Array]:
    """The first dip below the threshold of each row, or else the deepest, as a lag between samples; and its depth."""
    least = int(SAMPLE_RATE / HIGHEST)
    inner = differences[:, least:-1]
    dips = (inner <= differences[:, least - 1 : -2]) & (inner <= differences[:, least + 1 :])
    low = dips & (inner < _APERIODIC)
    first = np.where(low.any(1), low.argmax(1), np.where(dips, inner, np.inf).argmin(1)) + least
    rows = np.arange(len(differences))
    before, here, after = (differences[rows, first + step] for step in (-1, 0, 1))
    curve = before - 2 * here + after
    shift = np.divide(before - after, 2 * curve, out=np.zeros_like(curve), where=curve > 0)
    return first + np.clip(shift, -0.5, 0.5), here
