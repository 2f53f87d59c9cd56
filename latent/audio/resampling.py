"""Sample-rate conversion with soxr: one small library, wheels for every platform, no tie to a torch build."""

from __future__ import annotations

from typing import Any

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
    converted: NDArray[np.float32] = load("soxr", "speak").resample(samples, rate, new_rate, quality="HQ")
    return converted


class StreamResampler:
    """Converts a signal that comes in pieces; the result does not depend on where it was cut.

    Args:
        rate: Of the samples that come, in Hz.
        new_rate: Of those that go.
    """

    def __init__(self, rate: int, new_rate: int) -> None:
        self._stream: Any = None
        if rate != new_rate:
            self._stream = load("soxr", "speech").ResampleStream(rate, new_rate, 1, dtype="float32", quality="HQ")

    def push(self, samples: NDArray[np.float32], last: bool = False) -> NDArray[np.float32]:
        """What can be converted after the next samples `(L,)`, which may be empty; all of it after the last ones."""
        if self._stream is None:
            return samples
        converted: NDArray[np.float32] = self._stream.resample_chunk(samples, last=last)
        return converted
