"""Distillation of the scores of the vocabulary, mixed with the gold labels."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from s2s.config import Fact
from s2s.criteria.base import Scorer
from s2s.criteria.distillation import Distillation
from s2s.data.batch import TokenBatch
from s2s.errors import ConfigError
from s2s.nn.token_loss import best_tokens, by_rows, token_loss
from s2s.registry import register_criterion


@register_criterion("logit_distillation")
class LogitDistillation(Distillation):
    """KL divergence of the student's distribution over the vocabulary from the teacher's, and the gold labels' loss.

    Sources: Hinton et al. (2015), arXiv 1503.02531; for generation word-level distillation of Kim and Rush (2016),
    arXiv 1606.07947.
    """

    class Config(Distillation.Config):
        """Options of logit distillation."""

        temperature: float = Field(1.0, gt=0)
        """Divides the scores of both models, so that above 1 the less probable tokens count for more."""
        gold_weight: float = Field(0.5, ge=0, lt=1)
        """Weight of the gold labels; the teacher has the rest."""
        label_smoothing: float = Field(0.1, ge=0, lt=1)
        """Of the gold labels, as in the criterion `cross_entropy`."""
        chunk_rows: Fact[int] = Field(1024, ge=1)
        """Labels scored at a time; smaller chunks need less memory, larger ones have less overhead."""

    model_type = Scorer
    batch_type: ClassVar[type] = TokenBatch
    takes_shards = True
    config: LogitDistillation.Config

    def check_pair(self, teacher: Any, student: Any) -> None:
        if not isinstance(teacher, Scorer):
            raise ConfigError(f"criterion.teacher: {type(teacher).__name__} scores no vocabulary")

    def weights(self, batch: TokenBatch) -> dict[str, float]:
        """The number of labels."""
        return dict.fromkeys(("loss", "divergence", "gold_loss", "accuracy"), float(len(batch.labels)))

    def forward(self, model: Scorer, batch: TokenBatch, phase: str = "model") -> dict[str, Tensor]:
        """The weighted sum of the divergence and of the loss of the gold labels, both of them, and the right labels."""
        config = self.config
        with self.teaching(batch.tokens.device) as teacher:
            taught = teacher.features(batch)

        def score(features: Tensor, labels: Tensor, rows: Tensor) -> tuple[Tensor, ...]:
            scores = model.logits(features)
            divergence = self.divergence(scores, taught[rows], config.temperature)
            gold = token_loss(scores, labels, config.label_smoothing, batch.pad_id)
            return divergence, gold, best_tokens(scores) == labels

        rows = torch.arange(len(batch.labels), device=batch.labels.device)  # autograd may not keep what was inferred
        found = by_rows(score, config.chunk_rows, model.features(batch), batch.labels, rows)
        divergence, gold, right = (values.sum() for values in found)
        loss = (1 - config.gold_weight) * divergence + config.gold_weight * gold
        return {"loss": loss, "divergence": divergence.detach(), "gold_loss": gold.detach(), "accuracy": right}
