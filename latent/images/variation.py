"""Variations of pictures for training: parts of them, at the same size, with something hidden."""

from __future__ import annotations

import math

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional as F

from latent.images.files import Pixels
from s2s.config import Section


class VariationSection(Section):
    """How training varies its pictures."""

    crop: float = Field(default=0.7, gt=0, le=1)
    """Smallest share of a picture's area that is shown, a square at any place; 1 always shows the whole."""
    erase: float = Field(default=0.25, ge=0, le=1)
    """Share of pictures in which a rectangle of 2 to 20 % of the area becomes one color."""

    @property
    def is_any(self) -> bool:
        """Whether pictures are ever shown otherwise than they are."""
        return self.crop < 1 or self.erase > 0

    @property
    def read_factor(self) -> float:
        """By how much larger a picture must be read, so that its smallest part is not enlarged."""
        return 1 / math.sqrt(self.crop)


def varied(pixels: Pixels, size: int, variation: VariationSection, generator: np.random.Generator) -> Pixels:
    """A part of a picture `(C, S', S')` as `(C, size, size)`, perhaps with a hidden rectangle.

    Source: random resized crops as in Inception (arXiv 1409.4842), of squares alone; random erasing (arXiv 1708.04896).
    """
    whole = pixels.shape[1]
    side = max(1, round(whole * math.sqrt(generator.uniform(variation.crop, 1))))
    top, left = generator.integers(whole - side, size=2, endpoint=True)
    part = torch.from_numpy(pixels[None, :, top : top + side, left : left + side])
    resized = F.interpolate(part, (size, size), mode="bilinear", antialias=True, align_corners=False)
    made: Pixels = resized[0].numpy()
    if generator.random() < variation.erase:
        _erase(made, generator)
    return made


def _erase(pixels: Pixels, generator: np.random.Generator) -> None:
    size = pixels.shape[1]
    area, shape = generator.uniform(0.02, 0.2) * size * size, math.exp(generator.uniform(-1, 1))
    height, width = (min(size, max(1, round(math.sqrt(area * ratio)))) for ratio in (shape, 1 / shape))
    top, left = generator.integers(size - height, endpoint=True), generator.integers(size - width, endpoint=True)
    color = generator.uniform(-1, 1, (len(pixels), 1, 1))
    pixels[:, top : top + height, left : left + width] = color
