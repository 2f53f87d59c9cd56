"""The loss of models that denoise whole pictures."""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

from pydantic import Field
from torch import Tensor

from latent.criteria.next_token_diffusion import WithHead, diffusion_loss
from latent.data.batch import MixedBatch, MixedSequences
from s2s.config import Section
from s2s.criteria.base import Criterion
from s2s.registry import register_criterion


@runtime_checkable
class PictureDenoiser(WithHead, Protocol):
    """A model whose head denoises all latents of a picture at once: a DiT."""

    def conditions(self, prompts: MixedSequences) -> Tensor:
        """What the head is told of each row, `(B, H)`."""

    def normalize(self, latents: Tensor) -> Tensor:
        """Latents as the head denoises them."""


@register_criterion("diffusion")
class Diffusion(Criterion):
    """Denoising loss of pictures, all latents of which have the same step.

    Source: DiT (arXiv 2212.09748); `microsoft/unilm: LatentLM/train_hf.py`.
    """

    losses: ClassVar[tuple[str, ...]] = ("latent_loss",)
    model_type = PictureDenoiser
    batch_type = MixedBatch

    class Config(Section):
        """Options of the diffusion criterion."""

        noise_draws: int = Field(1, ge=1)
        """Noisy copies of each picture; the whole model reads each."""

    config: Diffusion.Config

    def weights(self, batch: MixedBatch) -> dict[str, float]:
        """The number of latents, so that losses compare with those of `next_token_diffusion`."""
        return {"latent_loss": float(len(batch.predicted))}

    def forward(self, model: PictureDenoiser, batch: MixedBatch, phase: str = "model") -> dict[str, Tensor]:
        """The summed loss."""
        clean = model.normalize(batch.latents).view(len(batch.tokens), -1)  # all pictures have as many latents
        loss = diffusion_loss(model, clean, model.conditions(batch), self.config.noise_draws)
        return {"latent_loss": loss.sum() * (len(batch.predicted) / len(batch.tokens))}
