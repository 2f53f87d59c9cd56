"""The loss of a LatentLM with cues: next-token diffusion, and the error of predicted durations."""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from latent.criteria.next_token_diffusion import Denoiser, NextTokenDiffusion
from latent.data.batch import MixedBatch
from s2s.data.batch import Batch
from s2s.errors import ConfigError
from s2s.registry import register_criterion


@runtime_checkable
class TimedDenoiser(Denoiser, Protocol):
    """A denoiser that predicts durations of tokens: a TimedLatentLM."""

    def log_durations(self, tokens: Tensor, speakers: Tensor, voices: Tensor) -> Tensor:
        """log(1 + latents) of tokens `(B, N)`, from speakers `(B,)` and mean latents of voice prompts `(B, L)`."""


@register_criterion("timed_next_token_diffusion")
class TimedNextTokenDiffusion(NextTokenDiffusion):
    """Next-token diffusion, and squared errors of log durations.

    Source: FastSpeech 2 (arXiv 2006.04558), section 2.3.
    """

    losses: ClassVar[tuple[str, ...]] = (*NextTokenDiffusion.losses, "duration_loss")
    model_type = TimedDenoiser

    class Config(NextTokenDiffusion.Config):
        """Options of the criterion of a LatentLM with cues."""

        duration_weight: NonNegativeFloat = 0.1
        """Factor of the mean squared error of log(1 + latents) over the tokens of texts."""

    config: TimedNextTokenDiffusion.Config

    def check(self, model: nn.Module, batch: Batch) -> None:
        super().check(model, batch)
        if isinstance(batch, MixedBatch) and batch.timed is None:
            raise ConfigError(f"{type(self).__name__} trains durations, which a task without task.cues does not have")

    def weights(self, batch: MixedBatch) -> dict[str, float]:
        """Counts of predicted tokens and latents, and of the tokens of texts."""
        assert batch.timed is not None, "made by a task with cues"
        return {**super().weights(batch), "duration_loss": float(batch.timed.num_tokens)}

    def forward(self, model: Denoiser, batch: MixedBatch, phase: str = "model") -> dict[str, Tensor]:
        timed = batch.timed
        assert isinstance(model, TimedDenoiser), "see `check`"
        assert timed is not None, "see `check`"
        errors = model.log_durations(timed.tokens, timed.speakers, timed.voices) - torch.log1p(timed.durations)
        squares = errors.square()[timed.tokens != 0].sum()
        return {**super().forward(model, batch, phase), "duration_loss": self.config.duration_weight * squares}
