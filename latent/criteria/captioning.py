"""Cross entropy of captions, some of which may not belong to their picture."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from latent.data.batch import SeenBatch
from s2s.criteria.base import Scorer
from s2s.criteria.cross_entropy import CrossEntropy
from s2s.data.batch import TokenBatch
from s2s.nn.token_loss import score_labels
from s2s.registry import register_criterion


@register_criterion("captioning")
class Captioning(CrossEntropy):
    """Cross entropy that can leave out the labels with the greatest losses, a filter for noisy captions.

    Source: `microsoft/unilm: beit3/utils.py`, `BertCaptioningLoss`.
    """

    batch_type: ClassVar[type] = SeenBatch

    class Config(CrossEntropy.Config):
        """Options of the criterion of captions."""

        drop_worst: float = Field(0.0, ge=0, lt=1)
        """Share of the labels of a batch, those with the greatest losses, that training leaves out. BEiT-3 has 0 for
        the first 12,000 updates, then 0.2."""
        smooth_padding: bool = False
        """Whether label smoothing gives the pad token its share too, as BEiT-3 does."""

    config: Captioning.Config

    def weights(self, batch: TokenBatch) -> dict[str, float]:
        """The number of labels that count, and of all."""
        count = len(batch.labels)
        return {"loss": float(self._kept(count)), "accuracy": float(count)}

    def forward(self, model: Scorer, batch: TokenBatch, phase: str = "model") -> dict[str, Tensor]:
        """Summed loss of the labels that count, and how many of all are the most probable token."""
        config, features = self.config, model.features(batch)
        pad = None if config.smooth_padding else batch.pad_id
        smoothing, rows = config.label_smoothing, config.chunk_rows
        loss, right = score_labels(model.logits, features, batch.labels, smoothing, pad, rows)
        kept = self._kept(len(loss))
        if kept < len(loss):
            loss = loss.topk(kept, largest=False).values
        return {"loss": loss.sum(), "accuracy": right.sum()}

    def _kept(self, count: int) -> int:
        return max(1, int(count * (1 - self.config.drop_worst))) if self.training else count
