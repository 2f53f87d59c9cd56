"""UniLM whose sources are latents: the decoder, masks and search of text, for what is heard."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import NonNegativeInt, PositiveFloat
from torch import Tensor

from latent.data.batch import NOT_HEARD, HeardBatch, LatentSources
from s2s.config import Fact
from s2s.data.batch import PADDING, SourceBatch, TokenBatch
from s2s.errors import ConfigError
from s2s.models.unilm import UniLM
from s2s.nn.linear import Linear
from s2s.nn.packing import Packing
from s2s.registry import register_model


@register_model("latent_unilm")
class LatentUniLM(UniLM):
    """UniLM that reads latents, projected to the width of its word embeddings, at the slots of a source.

    Source: UniLM (arXiv 1905.03197); the projection of latents as in LatentLM (arXiv 2412.08635).
    """

    class Config(UniLM.Config):
        """Options of the model: those of UniLM, and facts about its latents, which are the task's."""

        latent_size: Fact[NonNegativeInt] = 0
        """Numbers per latent; 0 takes the task's."""
        latent_mean: Fact[float] = 0.0
        """Mean of all numbers of the training latents, for their normalization."""
        latent_std: Fact[PositiveFloat] = 1.0
        """Standard deviation of these numbers."""

    config: LatentUniLM.Config

    def __init__(self, config: LatentUniLM.Config) -> None:
        super().__init__(config)
        self.listen = Linear(config.latent_size, config.embedding_size or config.hidden_size)
        self._randomize(self.listen)

    @classmethod
    def resolve(cls, config: Any, defaults: dict[str, Any]) -> Any:
        facts = {name: value for name, value in defaults.items() if name.startswith("latent_")}
        size = facts.get("latent_size", config.latent_size)
        if config.latent_size not in (0, size) or not size:
            found = config.latent_size
            raise ConfigError(f"model.latent_size: must be {size or 'given'} as in the task's data, found {found}")
        rest = {name: value for name, value in defaults.items() if name not in facts}
        return super().resolve(config, rest).model_copy(update=facts)

    def words(self, batch: TokenBatch | SourceBatch, packing: Packing) -> Tensor:
        if not isinstance(batch, HeardBatch | LatentSources):
            raise ConfigError(NOT_HEARD)
        words = super().words(batch, packing)
        latents = (batch.latents - self.config.latent_mean) / self.config.latent_std
        heard = self.listen(latents.to(words.dtype)).to(words.dtype)
        return words.index_copy(0, packing.rows_at(batch.latent_slots), heard)

    def frame_scores(self, sources: LatentSources) -> Tensor:
        """See `latent.decoding.ctc.FrameScorer`."""
        tokens, slots = sources.tokens, sources.latent_slots
        positions = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        steps = torch.where(positions < sources.lengths.unsqueeze(1), 0, PADDING)
        context, nothing = tokens.shape[1], torch.zeros_like(tokens)
        given = (sources.ids, tokens, positions, nothing, steps, context, slots, slots, 0)
        texts = (tokens[:, :0], torch.zeros_like(sources.lengths))
        return self.logits(self.features(HeardBatch(*given, sources.latents, slots, *texts, sources.feeding)))

    def bert_state(self) -> dict[str, Tensor]:
        """What it shares with a text model; `init` may name one, whose sources it has yet to learn to hear."""
        return {name: tensor for name, tensor in super().bert_state().items() if not name.startswith("listen.")}
