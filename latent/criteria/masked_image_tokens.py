"""The loss of masked image tokens: BERT for pictures, over the codes of a discrete tokenizer."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

from latent.criteria.masked_pixels import PatchPredictor
from latent.data.batch import MaskedPictures
from latent.nn.vision import EncoderSizes
from s2s.criteria.taught import RunTaught
from s2s.errors import ConfigError
from s2s.registry import register_criterion


@runtime_checkable
class DiscreteTokenizer(Protocol):
    """A model that gives each patch of a picture one of some codes."""

    @property
    def sizes(self) -> EncoderSizes:
        """Those of its encoder."""

    @property
    def num_codes(self) -> int:
        """Codes."""

    def tokens(self, images: Tensor) -> Tensor:
        """The codes `(B, N)` of pictures `(B, C, S, S)`."""


def check_grids(teacher: Any, student: Any) -> None:
    """Raise a ConfigError unless two models divide the same pictures into the same patches."""
    for name in ("image_size", "channels", "patch_size"):
        found, expected = getattr(student.sizes, name), getattr(teacher.sizes, name)
        if found != expected:
            raise ConfigError(f"criterion.teacher: its {name} must be that of the model, {found}, found {expected}")


def check_features(teacher: Any, student: Any) -> None:
    """Raise a ConfigError unless a model gives as many numbers for a patch as its teacher."""
    if student.output_size != (size := teacher.sizes.hidden_size):
        features = f"{size}, the features of criterion.teacher"
        raise ConfigError(f"model.output_size: must be {features}, found {student.output_size}")


@register_criterion("masked_image_tokens")
class MaskedImageTokens(RunTaught):
    """Cross entropy of the codes of masked patches. The teacher is a tokenizer, the run of an `image_quantizer`.

    Source: BEiT (arXiv 2106.08254) with a tokenizer of pixels; BEiT v2 (arXiv 2208.06366) with one of features, without
    its patch aggregation.
    """

    model_type = PatchPredictor
    batch_type = MaskedPictures
    teacher_type = DiscreteTokenizer

    class Config(RunTaught.Config):
        """Options of the loss of masked image tokens."""

    config: MaskedImageTokens.Config

    def check_pair(self, teacher: Any, student: Any) -> None:
        super().check_pair(teacher, student)
        check_grids(teacher, student)
        if student.output_size != teacher.num_codes:
            codes = f"{teacher.num_codes}, the codes of criterion.teacher"
            raise ConfigError(f"model.output_size: must be {codes}, found {student.output_size}")

    def weights(self, batch: MaskedPictures) -> dict[str, float]:
        """The number of masked patches."""
        return dict.fromkeys(("loss", "accuracy"), float(batch.num_masked))

    def forward(self, model: PatchPredictor, batch: MaskedPictures, phase: str = "model") -> dict[str, Tensor]:
        """The loss and the share of codes that are right, summed over masked patches."""
        with torch.no_grad():
            wanted = self.teacher.tokens(batch.images)[batch.mask]
        scores = model.predict(batch.images, batch.mask).float()
        loss = F.cross_entropy(scores, wanted, reduction="sum")
        return {"loss": loss, "accuracy": (scores.argmax(-1) == wanted).sum()}
