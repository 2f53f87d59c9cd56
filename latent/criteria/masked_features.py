"""The loss of masked features: a model restores what a frozen teacher, which sees all patches, says of one."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from pydantic import PositiveFloat
from torch import Tensor
from torch.nn import functional as F

from latent.criteria.masked_image_tokens import check_features, check_grids
from latent.criteria.masked_pixels import PatchPredictor
from latent.data.batch import MaskedPictures
from latent.nn.vision import EncoderSizes
from s2s.criteria.taught import RunTaught
from s2s.registry import register_criterion


@runtime_checkable
class FeatureTeacher(Protocol):
    """A model with features of patches."""

    @property
    def sizes(self) -> EncoderSizes:
        """Those of its encoder."""

    def features(self, images: Tensor) -> Tensor:
        """Features `(B, N, D)` of pictures `(B, C, S, S)`."""


@register_criterion("masked_features")
class MaskedFeatures(RunTaught):
    """Smooth L1 of the teacher's features of masked patches, each normalized to mean 0 and variance 1.

    Source: MaskDistill (arXiv 2210.10615), whose teacher is CLIP; here it is any encoder of a run.
    """

    model_type = PatchPredictor
    batch_type = MaskedPictures
    teacher_type = FeatureTeacher

    class Config(RunTaught.Config):
        """Options of the loss of masked features."""

        beta: PositiveFloat = 1.0
        """Differences below this count squared, those above by their size."""

    config: MaskedFeatures.Config

    def check_pair(self, teacher: Any, student: Any) -> None:
        super().check_pair(teacher, student)
        check_grids(teacher, student)
        check_features(teacher, student)

    def weights(self, batch: MaskedPictures) -> dict[str, float]:
        """The number of masked patches."""
        return {"loss": float(batch.num_masked)}

    def forward(self, model: PatchPredictor, batch: MaskedPictures, phase: str = "model") -> dict[str, Tensor]:
        """The loss, summed over masked patches."""
        with torch.no_grad():
            features = self.teacher.features(batch.images)[batch.mask].float()
            wanted = F.layer_norm(features, features.shape[-1:])
        found = model.predict(batch.images, batch.mask).float()
        return {"loss": F.smooth_l1_loss(found, wanted, reduction="none", beta=self.config.beta).mean(-1).sum()}
