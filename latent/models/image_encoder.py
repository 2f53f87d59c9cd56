"""Encoders of pictures that learn without labels: all patches with masks (BEiT), or the visible ones alone (MAE)."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from latent.models.facts import check_divisors, facts_of_task
from latent.nn.patches import places
from latent.nn.vision import EncoderSizes, PatchLayers, VisionEncoder
from s2s.config import Fact, Section
from s2s.errors import ConfigError
from s2s.models.base import Model
from s2s.registry import register_model


class PictureEncoder(Model):
    """A model with an encoder of pictures, whose features are what pretraining is for."""

    class Config(Section):
        """Options of an encoder of pictures."""

        image_size: Fact[NonNegativeInt] = 0
        """Pixels of a picture, a side; 0 takes the task's."""
        channels: Fact[NonNegativeInt] = 0
        """1 for gray pictures, 3 for color; 0 takes the task's."""
        patch_size: PositiveInt = 8
        """Pixels of a patch, a side; it divides `image_size`."""
        hidden_size: PositiveInt = 192
        """Width of the layers, a multiple of 4."""
        num_layers: int = Field(default=6, ge=1, le=1000)
        """Layers."""
        num_heads: PositiveInt = 3
        """Attention heads, a divisor of `hidden_size`."""

        def sizes(self) -> EncoderSizes:
            """The sizes of the network."""
            return EncoderSizes(*(getattr(self, name) for name in EncoderSizes._fields))

    config: PictureEncoder.Config
    encoder: VisionEncoder

    @classmethod
    def resolve(cls, config: Any, defaults: dict[str, Any]) -> Any:
        resolved = config.model_copy(update=facts_of_task(config, defaults, ("image_size", "channels")))
        check_divisors(config, hidden_size="num_heads")
        if config.hidden_size % 4:
            raise ConfigError(f"model.hidden_size: must be a multiple of 4, found {config.hidden_size}")
        if resolved.image_size % config.patch_size:
            sides = f"{config.patch_size}, in pictures of {resolved.image_size}"
            raise ConfigError(f"model.patch_size: must divide task.image_size, found {sides}")
        return resolved

    @property
    def sizes(self) -> EncoderSizes:
        """Those of the encoder."""
        return self.encoder.sizes

    def features(self, images: Tensor) -> Tensor:
        """Features `(B, N, D)` of whole pictures `(B, C, S, S)`, in raster order."""
        return self.encoder(images)  # type: ignore[no-any-return]

    def blocks(self) -> list[nn.Module]:
        return list(self.encoder.layers.layers)


@register_model("image_encoder")
class ImageEncoder(PictureEncoder):
    """Reads all patches, a learned vector for masked ones, and predicts something of each masked patch."""

    class Config(PictureEncoder.Config):
        """Options of an encoder with a linear head."""

        output_size: NonNegativeInt = 0
        """Numbers that are predicted for a patch: codes of a tokenizer, or features of a teacher; 0: its pixels."""

    config: ImageEncoder.Config

    def __init__(self, config: ImageEncoder.Config) -> None:
        super().__init__(config)
        self.encoder = VisionEncoder(config.sizes(), reads_masks=True)
        self.head = nn.Linear(config.hidden_size, self.output_size)

    @property
    def output_size(self) -> int:
        """Numbers that are predicted for a patch."""
        return self.config.output_size or self.sizes.patch_pixels

    def predict(self, images: Tensor, mask: Tensor) -> Tensor:
        """Predictions `(M, output_size)` for the patches in `mask` `(B, N)`."""
        return self.head(self.encoder(images, mask)[mask])  # type: ignore[no-any-return]


@register_model("masked_autoencoder")
class MaskedAutoencoder(PictureEncoder):
    """Reads the visible patches alone; a small decoder, which is thrown away, restores the pixels of the others.

    Source: MAE (arXiv 2111.06377), figure 1; no CLS token, since features are averaged.
    """

    class Config(PictureEncoder.Config):
        """Options of an encoder with a decoder of pixels."""

        decoder_size: PositiveInt = 96
        """Width of the decoder, a multiple of 4 and of `num_heads`."""
        decoder_layers: int = Field(default=2, ge=1, le=1000)
        """Its layers."""

    config: MaskedAutoencoder.Config
    places: Tensor

    def __init__(self, config: MaskedAutoencoder.Config) -> None:
        super().__init__(config)
        sizes = config.sizes()
        self.encoder = VisionEncoder(sizes)
        self.register_buffer("places", places(sizes.grid_size, config.decoder_size), persistent=False)
        self.narrow = nn.Linear(config.hidden_size, config.decoder_size)
        self.hidden_vector = nn.Parameter(torch.randn(config.decoder_size) * 0.02)
        self.decoder = PatchLayers(config.decoder_size, config.decoder_layers, config.num_heads)
        self.head = nn.Linear(config.decoder_size, sizes.patch_pixels)

    @classmethod
    def resolve(cls, config: Any, defaults: dict[str, Any]) -> Any:
        check_divisors(config, decoder_size="num_heads")
        if config.decoder_size % 4:
            raise ConfigError(f"model.decoder_size: must be a multiple of 4, found {config.decoder_size}")
        return super().resolve(config, defaults)

    @property
    def output_size(self) -> int:
        """Numbers that are predicted for a patch: its pixels."""
        return self.sizes.patch_pixels

    def predict(self, images: Tensor, mask: Tensor) -> Tensor:
        """Pixels `(M, P)` of the patches in `mask` `(B, N)`, of which each picture has as many."""
        seen = self.narrow(self.encoder.visible(images, mask))
        rows = self.hidden_vector.to(seen.dtype).expand(*mask.shape, -1).clone()
        rows[~mask] = seen.flatten(0, 1)
        return self.head(self.decoder(rows + self.places)[mask])  # type: ignore[no-any-return]

    def blocks(self) -> list[nn.Module]:
        return [*super().blocks(), *self.decoder.layers]
