"""Sample-rate conversion with soxr: one small library, wheels for every platform, no tie to a torch build."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from s2s.errors import InputError
from s2s.packages import load


def resample(samples: NDArray[np.float32], rate: int, new_rate: int) -> NDArray[np.float32]:
    """Samples `(L,)` at another rate, `(ceil or floor of L * new_rate / rate,)`; the same array where the rates agree.

    Raises:
        InputError: a rate is not positive.
    """
    if rate <= 0 or new_rate <= 0:
        raise InputError(f"sample rate must be positive, found {min(rate, new_rate)} Hz")
    if rate == new_rate:
        return samples
    converted: NDArray[np.float32] = load("soxr", "speech").resample(samples, rate, new_rate, quality="HQ")
    return converted
