"""What the pitch of a voice does at the end of a sentence."""

from __future__ import annotations

import numpy as np
import torch

from eval.metric import Array
from latent.audio.files import Samples
from latent.audio.pitch import HOP_SECONDS
from latent.audio.pitch import pitch as pitch_of

SAMPLE_RATE = 16000
END_SECONDS = 0.3
"""The end of a sentence, up to the last voiced frame."""
_FEWEST = 5  # voiced frames of an end whose pitch is known


def pitch(samples: Samples) -> Array:
    """Hz of samples `(L,)` at 16 kHz every 10 ms, `(T,)`; NaN in unvoiced frames."""
    return np.asarray(pitch_of(torch.from_numpy(samples)[None], SAMPLE_RATE)[0].double().numpy())


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
