"""The data of an image tokenizer: pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import PositiveInt

from latent.data.batch import PictureBatch
from latent.data.pictures import Picture, read_pictures
from latent.images.files import Pixels
from s2s.config import Section
from s2s.registry import register_task
from s2s.shipped import data_path
from s2s.tasks.base import Task

_MOST_KEPT = 1 << 30
"""Bytes of pixels that a data set keeps."""


@dataclass(frozen=True)
class Seen:
    """Pixels `(C, S, S)` of the picture `id`."""

    id: str
    pixels: Pixels


class PictureDataset:
    """Pictures as squares of `size` pixels a side, read when they are needed; kept, if all fit in a gigabyte."""

    def __init__(self, pictures: Sequence[Picture], size: int, channels: int) -> None:
        self._pictures, self._size, self._channels = pictures, size, channels
        self.lengths = np.full(len(pictures), size * size, dtype=np.int64)
        self._keeps = 4 * channels * size * size * len(pictures) <= _MOST_KEPT
        self._kept: dict[int, Pixels] = {}

    def __len__(self) -> int:
        return len(self._pictures)

    def example(self, index: int, epoch: int) -> Seen:
        """See `s2s.tasks.base.Dataset`; InputError if the picture cannot be read."""
        picture = self._pictures[index]
        pixels = self._kept.get(index)
        if pixels is None:
            pixels = picture.pixels(self._size, self._channels)
            if self._keeps:
                self._kept[index] = pixels
        return Seen(picture.id, pixels)


@register_task("image_autoencoding")
class ImageAutoencoding(Task):
    """Pictures, which an image tokenizer learns to reconstruct."""

    model, criterion = "image_sigma_vae", "image_sigma_vae"

    class Config(Section):
        """Options of the task of an image tokenizer."""

        train: str
        """List of the pictures to learn from: JSON lines with `id` and `image`."""
        valid: str
        """List of the pictures to validate with."""
        image_size: PositiveInt = 64
        """Pixels of a picture, a side; the square in its middle is resized. `train.max_tokens` counts pixels."""
        channels: Literal[1, 3] = 3
        """1: gray, 3: color."""

    config: ImageAutoencoding.Config

    def inputs(self) -> list[Path]:
        """The lists; pictures are not read again for a comparison."""
        return [Path(data_path(name)) for name in (self.config.train, self.config.valid)]

    def dataset(self, split: str, seed: int) -> PictureDataset:
        pictures = read_pictures(data_path(getattr(self.config, split)))
        return PictureDataset(pictures, self.config.image_size, self.config.channels)

    def collate(self, examples: Sequence[Any]) -> PictureBatch:
        images = torch.from_numpy(np.stack([example.pixels for example in examples]))
        return PictureBatch([example.id for example in examples], images)

    def model_defaults(self) -> dict[str, Any]:
        return {"image_size": self.config.image_size, "channels": self.config.channels}

    def save(self, folder: Path) -> None:
        """Nothing: the tokenizer's configuration holds everything that its users need."""
