"""G.711, the samples of telephones: a logarithm of 8 bits for each, in two laws.

Source: ITU-T Recommendation G.711 (1988), tables 1 and 2.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Law = Literal["mu", "a"]
"""mu: North America and Japan; a: elsewhere."""

TELEPHONE_RATE = 8000
"""Samples a second."""


def expanded(content: bytes, law: Law) -> NDArray[np.float32]:
    """The samples of bytes `(L,)`, from -1 to 1."""
    samples: NDArray[np.float32] = _TABLES[law][np.frombuffer(content, np.uint8)]
    return samples


def _mu_table() -> NDArray[np.float32]:
    codes = ~np.arange(256, dtype=np.uint8)  # all bits are sent inverted
    exponent, mantissa = (codes >> 4 & 7).astype(np.int32), (codes & 15).astype(np.int32)
    magnitude = ((mantissa * 8 + 132) << exponent) - 132
    return _signed(magnitude, codes & 128 == 0)


def _a_table() -> NDArray[np.float32]:
    codes = np.arange(256, dtype=np.uint8) ^ 0x55  # every other bit is sent inverted
    exponent, mantissa = (codes >> 4 & 7).astype(np.int32), (codes & 15).astype(np.int32)
    magnitude = (mantissa * 16 + 8 + 256 * (exponent > 0)) << np.maximum(exponent - 1, 0)
    return _signed(magnitude, codes & 128 != 0)


def _signed(magnitude: NDArray[Any], positive: NDArray[np.bool_]) -> NDArray[np.float32]:
    return (np.where(positive, magnitude, -magnitude) / 32768).astype(np.float32)


_TABLES: dict[Law, NDArray[np.float32]] = {"mu": _mu_table(), "a": _a_table()}
