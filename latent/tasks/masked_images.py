"""The data of pretraining on pictures: each a little moved, with some of its patches masked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveInt

from latent.data.batch import MaskedPictures
from latent.data.pictures import Picture, read_pictures
from latent.images.files import Pixels
from latent.nn.image_masks import Mask, blockwise_mask, random_mask
from latent.tasks.image_autoencoding import ImageAutoencoding, PictureDataset, Seen
from s2s.errors import ConfigError
from s2s.registry import register_task
from s2s.shipped import data_path

_MASKS = {"random": random_mask, "blockwise": blockwise_mask}


@dataclass(frozen=True)
class MaskedPicture(Seen):
    """A picture whose patches `mask` `(N,)` are hidden."""

    mask: Mask


class MaskedDataset(PictureDataset):
    """Pictures with masks; moves and masks depend only on the seed, the epoch and the index.

    With `fixed` masks do not depend on the epoch, and nothing is moved.
    """

    def __init__(self, pictures: Sequence[Picture], config: MaskedImages.Config, seed: int, fixed: bool) -> None:
        super().__init__(pictures, config.image_size, config.channels)
        self._config, self._seed, self._fixed = config, seed, fixed

    def example(self, index: int, epoch: int) -> MaskedPicture:
        """See `s2s.tasks.base.Dataset`; InputError if the picture cannot be read."""
        seen = super().example(index, epoch)
        generator = np.random.default_rng([self._seed, 0 if self._fixed else epoch, index])
        config = self._config
        pixels = seen.pixels if self._fixed else moved(seen.pixels, config.most_shift, config.mirror, generator)
        mask = _MASKS[config.masking](config.grid_size, config.num_masked, generator)
        return MaskedPicture(seen.id, pixels, mask)


def moved(pixels: Pixels, most: int, mirror: bool, generator: np.random.Generator) -> Pixels:
    """Pixels `(C, S, S)` shifted by at most so many, with the edge repeated, and half of the time mirrored."""
    if mirror and generator.random() < 0.5:
        pixels = pixels[:, :, ::-1]
    top, left = generator.integers(2 * most + 1, size=2)
    padded = np.pad(pixels, ((0, 0), (most, most), (most, most)), "edge")
    side = pixels.shape[1]
    return np.ascontiguousarray(padded[:, top : top + side, left : left + side])


@register_task("masked_images")
class MaskedImages(ImageAutoencoding):
    """Pictures with masked patches, for pretraining without labels."""

    model, criterion = "masked_autoencoder", "masked_pixels"

    class Config(ImageAutoencoding.Config):
        """Options of the task of pretraining on pictures."""

        image_size: PositiveInt = 32
        """Pixels of a picture, a side; the square in its middle is resized. `train.max_tokens` counts pixels."""
        patch_size: PositiveInt = 8
        """Pixels of a patch, a side: that of the model."""
        masking: Literal["random", "blockwise"] = "random"
        """random: any patches (MAE); blockwise: rectangles of patches (BEiT)."""
        mask_share: float = Field(0.75, gt=0, lt=1)
        """Share of patches that are masked: 0.75 in MAE, 0.4 in BEiT."""
        most_shift: NonNegativeInt = 4
        """Move training pictures by at most so many pixels; 0: not at all."""
        mirror: bool = True
        """Mirror half of the training pictures."""

        @property
        def grid_size(self) -> int:
            """Patches of a picture, a side."""
            return self.image_size // self.patch_size

        @property
        def num_masked(self) -> int:
            """Masked patches of a picture: at least one, and not all."""
            count = self.grid_size**2
            return min(max(1, round(self.mask_share * count)), count - 1)

    config: MaskedImages.Config

    def __init__(self, config: MaskedImages.Config) -> None:
        super().__init__(config)
        if config.image_size % config.patch_size or config.grid_size < 2:
            found = f"{config.patch_size}, in pictures of {config.image_size}"
            raise ConfigError(f"task.patch_size: must divide task.image_size, into two or more a side, found {found}")

    def dataset(self, split: str, seed: int) -> MaskedDataset:
        pictures = read_pictures(data_path(getattr(self.config, split)))
        return MaskedDataset(pictures, self.config, seed, fixed=split != "train")

    def collate(self, examples: Sequence[Any]) -> MaskedPictures:
        batch = super().collate(examples)
        return MaskedPictures(batch.ids, batch.images, torch.from_numpy(np.stack([each.mask for each in examples])))

    def model_defaults(self) -> dict[str, Any]:
        return {**super().model_defaults(), "patch_size": self.config.patch_size}
