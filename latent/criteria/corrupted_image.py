"""The losses of CIM: a generator fills masked patches with drawn codes, an enhancer repairs or finds what it filled."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn
from torch.nn import functional as F

from latent.criteria.masked_image_tokens import check_grids
from latent.data.batch import MaskedPictures
from latent.nn.patches import from_patches, to_patches
from latent.nn.vision import EncoderSizes, patches_to_predict
from s2s.criteria.taught import RunTaught
from s2s.data.batch import Batch
from s2s.errors import ConfigError
from s2s.nn.replacements import draw
from s2s.registry import register_criterion


@runtime_checkable
class GeneratorAndEnhancer(Protocol):
    """A model that fills masked patches, and one that reads the result."""

    @property
    def sizes(self) -> EncoderSizes:
        """Those of the enhancer."""

    @property
    def num_codes(self) -> int:
        """Codes that the generator chooses from."""

    @property
    def learns(self) -> str:
        """What the enhancer says of each patch, "pixels" or "replaced"."""

    def code_logits(self, images: Tensor, mask: Tensor) -> Tensor:
        """The generator's scores `(M, num_codes)` for the patches in `mask` `(B, N)`."""

    def enhance(self, images: Tensor) -> Tensor:
        """What the enhancer says of each patch, `(B, N, P)` or `(B, N, 1)`."""


@runtime_checkable
class PixelTokenizer(Protocol):
    """A discrete tokenizer that restores pixels."""

    @property
    def sizes(self) -> EncoderSizes:
        """Those of its encoder."""

    @property
    def num_codes(self) -> int:
        """Codes."""

    @property
    def output_size(self) -> int:
        """Numbers that it restores for a patch."""

    def tokens(self, images: Tensor) -> Tensor:
        """The codes `(B, N)` of pictures `(B, C, S, S)`."""

    def pictures(self, tokens: Tensor) -> Tensor:
        """The pictures `(B, C, S, S)` of codes `(B, N)`."""


@register_criterion("corrupted_image")
class CorruptedImageCriterion(RunTaught):
    """The generator's cross entropy, and the enhancer's loss: normalized pixels of masked patches, or detection of all.

    The teacher is a tokenizer of pixels, which turns drawn codes into patches. Draws pass no gradient. The patches
    that are not masked are left as they are.

    Source: CIM (arXiv 2202.03382), section 3; draws as in `s2s.criteria.replaced_token_detection`.
    """

    losses: ClassVar[tuple[str, ...]] = ("generator", "enhancer")
    reaches_all_parameters = False
    model_type = GeneratorAndEnhancer
    batch_type = MaskedPictures
    teacher_type = PixelTokenizer

    class Config(RunTaught.Config):
        """Options of the losses of CIM."""

        enhancer_weight: PositiveFloat = 1.0
        """Factor of the enhancer's loss."""

    config: CorruptedImageCriterion.Config

    def check(self, model: nn.Module, batch: Batch) -> None:
        super().check(model, batch)
        assert isinstance(model, GeneratorAndEnhancer)
        assert isinstance(batch, MaskedPictures)
        if batch.mask.shape[1] != model.sizes.grid_size**2:
            raise ConfigError(f"task.patch_size: must be model.patch_size, found a grid of {batch.grid_size} a side")

    def check_pair(self, teacher: Any, student: Any) -> None:
        super().check_pair(teacher, student)
        check_grids(teacher, student)
        if teacher.output_size != teacher.sizes.patch_pixels:
            raise ConfigError("criterion.teacher: must restore pixels, found a tokenizer of features")
        if student.num_codes != teacher.num_codes:
            raise ConfigError(f"model.num_codes: must be {teacher.num_codes}, found {student.num_codes}")

    def weights(self, batch: MaskedPictures) -> dict[str, float]:
        """The number of masked patches; for detection, that of all, is in the enhancer's loss."""
        return dict.fromkeys((*self.losses, "generator_accuracy"), float(batch.num_masked))

    def forward(self, model: GeneratorAndEnhancer, batch: MaskedPictures, phase: str = "model") -> dict[str, Tensor]:
        """The losses, summed over masked patches."""
        scores = model.code_logits(batch.images, batch.mask).float()
        with torch.no_grad():
            tokens = self.teacher.tokens(batch.images)
            drawn = draw(scores.softmax(-1), torch.rand(len(scores), dtype=torch.float64, device=scores.device))
            corrupted = self._corrupted(batch, tokens, drawn)
        wanted = tokens[batch.mask]
        found = model.enhance(corrupted).float()
        return {
            "generator": F.cross_entropy(scores, wanted, reduction="sum"),
            "enhancer": self.config.enhancer_weight * self._loss(model, batch, found, drawn != wanted),
            "generator_accuracy": (scores.argmax(-1) == wanted).sum(),
        }

    def _corrupted(self, batch: MaskedPictures, tokens: Tensor, drawn: Tensor) -> Tensor:
        """The pictures with the patches of drawn codes `(M,)` at masked places."""
        size = self.teacher.sizes.patch_size
        filled = self.teacher.pictures(tokens.masked_scatter(batch.mask, drawn))
        patches = torch.where(batch.mask.unsqueeze(-1), to_patches(filled, size), to_patches(batch.images, size))
        return from_patches(patches, size)

    def _loss(self, model: GeneratorAndEnhancer, batch: MaskedPictures, found: Tensor, changed: Tensor) -> Tensor:
        if model.learns == "pixels":
            wanted = patches_to_predict(batch.images, batch.mask, model.sizes.patch_size, normalize=True)
            return (found[batch.mask] - wanted).square().mean(-1).sum()
        replaced = torch.zeros_like(batch.mask).masked_scatter(batch.mask, changed).float()
        every = F.binary_cross_entropy_with_logits(found.squeeze(-1), replaced)
        return every * batch.num_masked
