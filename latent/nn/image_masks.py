"""Which patches of a picture are masked: anywhere, or in blocks."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

_SMALLEST_BLOCK = 4
_NARROWEST = 0.3
"""The least ratio of a block's sides."""


def random_mask(side: int, count: int, generator: np.random.Generator) -> Mask:
    """`count` of the patches of a grid in raster order, `(side²,)`, each as likely as the others."""
    mask = np.zeros(side * side, bool)
    mask[generator.permutation(side * side)[:count]] = True
    return mask


def blockwise_mask(side: int, count: int, generator: np.random.Generator) -> Mask:
    """The same, in rectangles of some patches that may overlap; the last is cut so that exactly `count` are masked.

    Source: BEiT (arXiv 2106.08254), algorithm 1, which may mask a few patches less.
    """
    grid = np.zeros((side, side), bool)
    while (missing := count - int(grid.sum())) > 0:
        area = generator.uniform(min(_SMALLEST_BLOCK, missing), max(_SMALLEST_BLOCK, missing))
        ratio = math.exp(generator.uniform(math.log(_NARROWEST), -math.log(_NARROWEST)))
        height, width = (min(side, max(1, round(math.sqrt(area * by)))) for by in (ratio, 1 / ratio))
        top, left = generator.integers(side - height + 1), generator.integers(side - width + 1)
        block = np.zeros_like(grid)
        block[top : top + height, left : left + width] = True
        new = np.flatnonzero(block & ~grid)
        grid.flat[new[:missing]] = True
    return grid.reshape(-1)
