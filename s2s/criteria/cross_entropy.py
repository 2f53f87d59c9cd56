"""Cross entropy with label smoothing."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from s2s.config import Fact, Section
from s2s.criteria.base import Criterion, Scorer
from s2s.data.batch import Batch, CopyBatch, TokenBatch
from s2s.errors import ConfigError
from s2s.nn.token_loss import score_labels
from s2s.registry import register_criterion


@register_criterion("cross_entropy")
class CrossEntropy(Criterion):
    """Cross entropy, or the KL divergence from smoothed labels, summed over the labels of a batch."""

    class Config(Section):
        """Options of the cross-entropy criterion."""

        label_smoothing: float = Field(0.1, ge=0, lt=1)
        """Probability mass spread evenly over all other tokens except padding; 0 is plain cross entropy."""
        chunk_rows: Fact[int] = Field(1024, ge=1)
        """Labels scored at a time; smaller chunks need less memory, larger ones have less overhead."""

    model_type = Scorer
    batch_type: ClassVar[type] = TokenBatch
    config: CrossEntropy.Config

    def check(self, model: nn.Module, batch: Batch) -> None:
        super().check(model, batch)
        if isinstance(batch, CopyBatch):
            raise ConfigError("its labels may be copied, which hard_switch and pointer_generator learn")

    def weights(self, batch: TokenBatch) -> dict[str, float]:
        """The number of labels."""
        count = float(len(batch.labels))
        return {"loss": count, "accuracy": count}

    def forward(self, model: Scorer, batch: TokenBatch, phase: str = "model") -> dict[str, Tensor]:
        """Summed loss, and the number of labels that are the most probable token."""
        smoothing, rows = self.config.label_smoothing, self.config.chunk_rows
        features = model.features(batch)
        loss, right = score_labels(model.logits, features, batch.labels, smoothing, batch.pad_id, rows)
        return {"loss": loss.sum(), "accuracy": right.sum()}
