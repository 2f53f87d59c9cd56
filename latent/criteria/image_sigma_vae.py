"""The losses of an image tokenizer: pixels, and the size of the means."""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

from pydantic import NonNegativeFloat
from torch import Tensor

from latent.data.batch import PictureBatch
from s2s.config import Section
from s2s.criteria.base import Criterion
from s2s.registry import register_criterion


@runtime_checkable
class PictureAutoencoder(Protocol):
    """A model that turns pictures into latents and back."""

    @property
    def grid_size(self) -> int:
        """Latents of a picture, a side."""

    def encode(self, images: Tensor) -> Tensor:
        """Means `(B, N, L)` of pictures `(B, C, S, S)`."""

    def sample(self, mean: Tensor) -> Tensor:
        """Latents around means."""

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures of latents."""


@register_criterion("image_sigma_vae")
class ImageSigmaVAECriterion(Criterion):
    """Reconstruction of pictures, compared pixel by pixel.

    The variance does not depend on the input, so the KL term is the mean square of the means. LatentLM's tokenizer also
    learns from a perceptual network and a discriminator, whose weights are not published; without them, fine structures
    are smooth.

    Source: LatentLM (arXiv 2412.08635), section 2.3.
    """

    losses: ClassVar[tuple[str, ...]] = ("pixel_loss", "kl_loss")
    model_type = PictureAutoencoder
    batch_type = PictureBatch

    class Config(Section):
        """Options of the criterion of image tokenizers."""

        pixel_weight: NonNegativeFloat = 1.0
        """Factor of the mean squared error of pixels, which are from -1 to 1."""
        kl_weight: NonNegativeFloat = 1e-3
        """Factor of the mean square of the means."""

    config: ImageSigmaVAECriterion.Config

    def weights(self, batch: PictureBatch) -> dict[str, float]:
        """The number of pictures."""
        return dict.fromkeys(self.losses, float(len(batch.images)))

    def forward(self, model: PictureAutoencoder, batch: PictureBatch, phase: str = "model") -> dict[str, Tensor]:
        """The losses, summed over pictures."""
        mean = model.encode(batch.images)
        found, count = model.decode(model.sample(mean)), len(batch.images)
        return {
            "pixel_loss": count * self.config.pixel_weight * (found.float() - batch.images).square().mean(),
            "kl_loss": count * self.config.kl_weight * mean.float().square().mean(),
        }
