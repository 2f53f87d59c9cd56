"""The loss of LatentLM: cross entropy of tokens, and the diffusion loss of latents, from one pass of the model."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor, nn
from torch.nn import functional as F

from latent.data.batch import MixedBatch, MixedSequences
from latent.diffusion.schedule import NUM_TRAIN_STEPS, NoiseSchedule, add_noise, target
from s2s.config import Section
from s2s.criteria.base import Criterion
from s2s.data.batch import Batch
from s2s.errors import ConfigError
from s2s.registry import register_criterion


@runtime_checkable
class WithHead(Protocol):
    """A model with a diffusion head."""

    config: Any
    schedule: NoiseSchedule
    head: nn.Module


@runtime_checkable
class Denoiser(WithHead, Protocol):
    """A model of tokens and latents with a head that denoises the next latent: a LatentLM."""

    def hidden(self, batch: MixedSequences) -> Tensor:
        """Hidden states, `(B, T, H)`."""

    def logits(self, features: Tensor) -> Tensor:
        """Scores of the tokens, `(N, V)`, from hidden states `(N, H)`."""

    def normalize(self, latents: Tensor) -> Tensor:
        """Latents as the head denoises them."""


@register_criterion("next_token_diffusion")
class NextTokenDiffusion(Criterion):
    """Denoising loss of every latent given the hidden state before it, and cross entropy of the tokens (LatentLM).

    Source: LatentLM (arXiv 2412.08635), section 2.1; `microsoft/unilm: LatentLM/train_hf.py`.
    """

    losses: ClassVar[tuple[str, ...]] = ("token_loss", "latent_loss")
    model_type = Denoiser
    batch_type = MixedBatch

    class Config(Section):
        """Options of the next-token-diffusion criterion."""

        noise_draws: int = Field(4, ge=1)
        """Noisy copies of each latent; they cost little, since only the diffusion head reads them."""
        token_weight: NonNegativeFloat = 1.0
        """Factor of the cross entropy of tokens."""
        latent_weight: NonNegativeFloat = 1.0
        """Factor of the diffusion loss, the mean squared error over latents and their numbers."""

    config: NextTokenDiffusion.Config

    def check(self, model: nn.Module, batch: Batch) -> None:
        super().check(model, batch)
        if isinstance(batch, MixedBatch) and batch.timed is not None and "duration_loss" not in self.losses:
            raise ConfigError(f"{type(self).__name__} does not train durations, which task.cues asks for")

    def weights(self, batch: MixedBatch) -> dict[str, float]:
        """Counts of predicted tokens and latents."""
        tokens, latents = float(len(batch.labels)), float(len(batch.predicted))
        return {"token_loss": tokens, "latent_loss": latents, "accuracy": tokens}

    def forward(self, model: Denoiser, batch: MixedBatch, phase: str = "model") -> dict[str, Tensor]:
        """Summed losses, and the number of tokens that the model ranks first."""
        hidden = model.hidden(batch).flatten(0, 1)
        logits = model.logits(hidden.index_select(0, batch.slots)).float()
        token_loss = F.cross_entropy(logits, batch.labels, reduction="sum")
        conditions = hidden.index_select(0, batch.latent_slots[batch.predicted] - 1)
        clean = model.normalize(batch.latents.index_select(0, batch.predicted))
        latent_loss = diffusion_loss(model, clean, conditions, self.config.noise_draws).sum()
        return {
            "token_loss": self.config.token_weight * token_loss,
            "latent_loss": self.config.latent_weight * latent_loss,
            "accuracy": (logits.detach().argmax(-1) == batch.labels).sum(),
        }


def diffusion_loss(model: WithHead, clean: Tensor, conditions: Tensor, noise_draws: int) -> Tensor:
    """Mean squared error of each latent, over its noisy copies and its numbers, `(K,)` float32.

    Args:
        model: Gives head, noise schedule and kind of prediction.
        clean: Normalized latents, `(K, L)`.
        conditions: Hidden states before them, `(K, hidden_size)`.
        noise_draws: Noisy copies of each, with steps and noise drawn independently from the global generator.
    """
    copies = clean.repeat_interleave(noise_draws, 0)
    steps = torch.randint(NUM_TRAIN_STEPS, (len(copies),), device=clean.device)
    noise = torch.randn_like(copies)
    alpha, sigma = model.schedule.at(steps)
    noisy = add_noise(copies, noise, alpha, sigma)
    output: Tensor = model.head(noisy, steps, conditions.repeat_interleave(noise_draws, 0))
    wanted: Tensor = target(model.config.prediction, copies, noise, alpha, sigma)
    return (output.float() - wanted.float()).square().mean(-1).view(-1, noise_draws).mean(1)
