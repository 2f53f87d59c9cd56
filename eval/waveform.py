"""Distances between a recording and its reconstruction or another reading of its text: PESQ, STOI, log-mel."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from eval.metric import Array
from latent.audio.features import LogMel
from latent.audio.files import Samples
from s2s.packages import load

SAMPLE_RATE = 16000
_MELS, _WINDOW = 80, 1024


def pesq(audio: Samples, recording: Samples) -> float:
    """Wide-band PESQ (ITU-T P.862.2), 1.04 to 4.64, of samples at 16 kHz; NaN where it finds no speech."""
    package = load("pesq", "speech-eval")
    length = min(len(audio), len(recording))
    try:
        return float(package.pesq(SAMPLE_RATE, recording[:length], audio[:length], "wb"))
    except package.PesqError:
        return np.nan


def stoi(audio: Samples, recording: Samples) -> float:
    """Short-time objective intelligibility (Taal et al., 2011), 0 to 1, at 16 kHz; NaN below 0.4 s of speech."""
    package = load("pystoi", "speech-eval")
    length = min(len(audio), len(recording))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it warns and returns 1e-5 where it has no result
        try:
            return float(package.stoi(recording[:length], audio[:length], SAMPLE_RATE))
        except (RuntimeWarning, ValueError):
            return np.nan


def mel_distance(audio: Samples, recording: Samples, aligned: bool) -> float:
    """Mean absolute difference of log10 mel spectrograms (80 bands, windows of 64 ms, hop 16 ms) at 16 kHz.

    If `aligned`, frame t of one is compared with frame t of the other, as for a tokenizer's reconstruction, and the
    longer one is cut; else frames are compared along the path of dynamic time warping with the smallest sum.
    """
    ours, theirs = log_mel(audio), log_mel(recording)
    if aligned:
        frames = min(len(ours), len(theirs))
        return float(np.abs(ours[:frames] - theirs[:frames]).mean())
    return _warped_mean(np.stack([np.abs(theirs - frame).mean(axis=1) for frame in ours]))


def log_mel(samples: Samples) -> Array:
    """Log10 mel spectrogram `(T, 80)` of samples at 16 kHz."""
    features = LogMel(SAMPLE_RATE, _MELS, _WINDOW)
    spectrogram: Array = features(torch.from_numpy(np.ascontiguousarray(samples))[None])[0].T.double().numpy()
    return spectrogram


def _warped_mean(costs: Array) -> float:
    """Mean cost along the cheapest path from the first to the last pair, steps (1, 0), (0, 1), (1, 1).

    Cells are filled by anti-diagonals, each at once: a cell needs only those of the two diagonals before it.
    """
    rows, columns = costs.shape
    total = np.full((rows + 1, columns + 1), np.inf)
    steps = np.zeros((rows + 1, columns + 1))
    total[0, 0] = 0.0
    for diagonal in range(2, rows + columns + 1):
        i = np.arange(max(1, diagonal - columns), min(rows, diagonal - 1) + 1)
        j = diagonal - i
        options = np.stack([total[i - 1, j - 1], total[i - 1, j], total[i, j - 1]])
        lengths = np.stack([steps[i - 1, j - 1], steps[i - 1, j], steps[i, j - 1]])
        best = options.argmin(axis=0)
        chosen = np.arange(len(i))
        total[i, j] = options[best, chosen] + costs[i - 1, j - 1]
        steps[i, j] = lengths[best, chosen] + 1
    return float(total[-1, -1] / steps[-1, -1])
