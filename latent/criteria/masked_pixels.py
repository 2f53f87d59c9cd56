"""The loss of masked pixels: what a masked autoencoder learns from."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from latent.data.batch import MaskedPictures
from latent.nn.vision import EncoderSizes, patches_to_predict
from s2s.config import Section
from s2s.criteria.base import Criterion
from s2s.data.batch import Batch
from s2s.errors import ConfigError
from s2s.registry import register_criterion


@runtime_checkable
class PatchPredictor(Protocol):
    """A model that predicts something of each masked patch."""

    @property
    def sizes(self) -> EncoderSizes:
        """Those of its encoder."""

    @property
    def output_size(self) -> int:
        """Numbers that it predicts for a patch."""

    def predict(self, images: Tensor, mask: Tensor) -> Tensor:
        """Predictions `(M, output_size)` for the patches in `mask` `(B, N)` of pictures `(B, C, S, S)`."""


def check_masks(model: PatchPredictor, batch: MaskedPictures, predicted: int, what: str) -> None:
    """Raise a ConfigError if masks have another grid than a model, or it predicts another number of things."""
    if batch.mask.shape[1] != model.sizes.grid_size**2:
        sides = f"{batch.grid_size}; pictures of {model.sizes.image_size} have {model.sizes.grid_size} patches"
        raise ConfigError(f"task.patch_size: must be model.patch_size, found a grid of {sides} a side")
    if model.output_size != predicted:
        raise ConfigError(f"model.output_size: must be {predicted}, {what}, found {model.output_size}")


@register_criterion("masked_pixels")
class MaskedPixels(Criterion):
    """The mean squared error of the pixels of masked patches.

    Source: MAE (arXiv 2111.06377); with a model that reads all patches it is SimMIM (arXiv 2111.09886), but for its L1.
    """

    model_type = PatchPredictor
    batch_type = MaskedPictures

    class Config(Section):
        """Options of the loss of masked pixels."""

        normalize: bool = True
        """Bring each patch to mean 0 and variance 1 before it is compared."""

    config: MaskedPixels.Config

    def check(self, model: nn.Module, batch: Batch) -> None:
        super().check(model, batch)
        assert isinstance(model, PatchPredictor)
        assert isinstance(batch, MaskedPictures)
        check_masks(model, batch, model.sizes.patch_pixels, "the pixels of a patch")

    def weights(self, batch: MaskedPictures) -> dict[str, float]:
        """The number of masked patches."""
        return {"loss": float(batch.num_masked)}

    def forward(self, model: PatchPredictor, batch: MaskedPictures, phase: str = "model") -> dict[str, Tensor]:
        """The loss, summed over masked patches."""
        wanted = patches_to_predict(batch.images, batch.mask, model.sizes.patch_size, self.config.normalize)
        return {"loss": (model.predict(batch.images, batch.mask).float() - wanted).square().mean(-1).sum()}
