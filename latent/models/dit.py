"""DiT: a Transformer that denoises all latents of a picture at once, the baseline of LatentLM for pictures."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from latent.data.batch import MixedSequences
from latent.diffusion.schedule import NoiseSchedule, Prediction, ScheduleName
from latent.models.facts import check_divisors, facts_of_task
from latent.nn.dit import PictureDenoiser
from latent.nn.statistics import NormalizedLatents
from s2s.config import Fact, Section
from s2s.errors import ConfigError
from s2s.models.base import Model
from s2s.nn.packed import Precision
from s2s.registry import register_model


@register_model("dit")
class DiT(NormalizedLatents, Model):
    """DiT: patches of latents that all see each other, and a condition that scales and shifts every layer.

    The condition is the mean of the embeddings of the prompt's tokens: of a class its embedding; of a text the words
    without their order.

    Source: DiT (arXiv 2212.09748), in the form of `microsoft/unilm: LatentLM/models/DiT.py`.
    """

    class Config(Section):
        """Options of a DiT."""

        vocab_size: Fact[NonNegativeInt] = 0
        """Number of tokens; 0 takes the task's."""
        latent_size: Fact[NonNegativeInt] = 0
        """Numbers per latent; 0 takes the task's."""
        latent_mean: Fact[float | None] = None
        """Mean of all numbers of the training latents, for their normalization; none takes the task's."""
        latent_std: Fact[PositiveFloat | None] = None
        """Standard deviation of these numbers; none takes the task's."""
        grid_size: Fact[NonNegativeInt] = 0
        """Latents of a picture, a side; 0 takes the task's."""
        patch_size: PositiveInt = 1
        """Latents of a patch, a side; a divisor of `grid_size`."""
        hidden_size: PositiveInt = 256
        """Width of the layers, a multiple of 4."""
        num_layers: int = Field(default=8, ge=1, le=1000)
        """Number of layers."""
        num_heads: PositiveInt = 4
        """Attention heads, a divisor of `hidden_size`."""
        intermediate_size: PositiveInt = 704
        """Width inside the feed-forward networks."""
        norm_eps: Fact[PositiveFloat] = 1e-6
        """Added to the mean square in the norms."""
        schedule: ScheduleName = "cosine"
        """Noise schedule."""
        prediction: Prediction = "v"
        """What the network predicts."""

    config: DiT.Config

    def __init__(self, config: DiT.Config) -> None:
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        nn.init.normal_(self.embeddings.weight, std=0.02)
        self.head = PictureDenoiser(
            latent_size=config.latent_size,
            grid_size=config.grid_size,
            patch_size=config.patch_size,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            norm_eps=config.norm_eps,
        )
        self.schedule = NoiseSchedule.named(config.schedule)
        self._keep_statistics(config.latent_mean, config.latent_std)

    @classmethod
    def resolve(cls, config: Any, defaults: dict[str, Any]) -> Any:
        if "grid_size" not in defaults:
            raise ConfigError("model.name: 'dit' draws pictures and does nothing else, the task is another")
        facts = ("vocab_size", "latent_size", "latent_mean", "latent_std", "grid_size")
        resolved = config.model_copy(update=facts_of_task(config, defaults, facts))
        check_divisors(resolved, hidden_size="num_heads", grid_size="patch_size")
        if config.hidden_size % 4:
            raise ConfigError(f"model.hidden_size: must be a multiple of 4, found {config.hidden_size}")
        return resolved

    def prepare(self, precision: Precision = "float32") -> None:
        self.head.prepare(precision)

    def blocks(self) -> list[nn.Module]:
        return list(self.head.blocks)

    def conditions(self, prompts: MixedSequences) -> Tensor:
        """The condition of each row, `(B, hidden_size)`: of its tokens, not of its latents."""
        count, width = prompts.tokens.shape
        is_token = torch.arange(width, device=prompts.tokens.device) < prompts.lengths.unsqueeze(1)
        is_token = is_token.flatten().index_fill(0, prompts.latent_slots, False).view(count, width, 1)
        embedded = self.embeddings(prompts.tokens) * is_token
        return embedded.sum(1) / is_token.sum(1).clamp_min(1)  # type: ignore[no-any-return]
