"""The losses of a discrete tokenizer of pictures: what its codes restore, and how far vectors are from them."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn
from torch.nn import functional as F

from latent.criteria.masked_features import FeatureTeacher
from latent.criteria.masked_image_tokens import check_features, check_grids
from latent.data.batch import PictureBatch
from latent.nn.patches import to_patches
from latent.nn.vision import EncoderSizes
from s2s.criteria.taught import RunTaught
from s2s.data.batch import Batch
from s2s.errors import ConfigError
from s2s.registry import register_criterion


@runtime_checkable
class Quantizer(Protocol):
    """A model that restores pictures from codes."""

    @property
    def sizes(self) -> EncoderSizes:
        """Those of its encoder."""

    @property
    def output_size(self) -> int:
        """Numbers that it restores for a patch."""

    @property
    def num_codes(self) -> int:
        """Codes."""

    def restore(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What codes say of each patch `(B, N, output_size)`; their distance and the codes, both `(B, N)`."""


@register_criterion("image_quantization")
class ImageQuantization(RunTaught):
    """Pixels are compared by their squares, features of a teacher by their angle.

    Source: BEiT v2 (arXiv 2208.06366), equation 2. Measured, too: `codes_used`, the share of codes in a batch.
    """

    losses: ClassVar[tuple[str, ...]] = ("restored", "commitment")
    reaches_all_parameters = False
    needs_teacher = False
    model_type = Quantizer
    batch_type = PictureBatch
    teacher_type = FeatureTeacher

    class Config(RunTaught.Config):
        """Options of the losses of a discrete tokenizer. `teacher`: an encoder, whose features are restored (VQ-KD);
        null: pixels are."""

        commitment_weight: NonNegativeFloat = 1.0
        """Factor of the distance of vectors from their codes."""

    config: ImageQuantization.Config

    def check(self, model: nn.Module, batch: Batch) -> None:
        super().check(model, batch)
        assert isinstance(model, Quantizer)
        if self.config.teacher is None and model.output_size != model.sizes.patch_pixels:
            pixels = f"{model.sizes.patch_pixels}, the pixels of a patch"
            raise ConfigError(f"model.output_size: must be {pixels}, found {model.output_size}")

    def check_pair(self, teacher: Any, student: Any) -> None:
        super().check_pair(teacher, student)
        check_grids(teacher, student)
        check_features(teacher, student)

    def weights(self, batch: PictureBatch) -> dict[str, float]:
        """The number of pictures."""
        return dict.fromkeys((*self.losses, "codes_used"), float(len(batch.images)))

    def forward(self, model: Quantizer, batch: PictureBatch, phase: str = "model") -> dict[str, Tensor]:
        """The losses, means over the patches of a picture, summed over pictures."""
        found, commitment, codes = model.restore(batch.images)
        if self.has_teacher:
            with torch.no_grad():
                wanted = self.teacher.features(batch.images).float()
            differences = 1 - F.cosine_similarity(found.float(), wanted, dim=-1)
        else:
            differences = (found.float() - to_patches(batch.images, model.sizes.patch_size)).square().mean(-1)
        used = codes.flatten().bincount(minlength=model.num_codes).count_nonzero() / model.num_codes
        return {
            "restored": differences.mean(1).sum(),
            "commitment": self.config.commitment_weight * commitment.mean(1).sum(),
            "codes_used": used * len(batch.images),
        }
