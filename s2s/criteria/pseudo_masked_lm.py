"""The two losses of pseudo-masked pretraining, each with its own mean."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from s2s.config import Fact, Section
from s2s.criteria.base import Criterion, Scorer
from s2s.data.batch import MaskedBatch
from s2s.nn.token_loss import score_labels
from s2s.registry import register_criterion


@register_criterion("pseudo_masked_lm")
class PseudoMaskedLM(Criterion):
    """Mean loss of the masked tokens given the context, plus that given the earlier steps; each with its accuracy.

    Source: UniLMv2 (arXiv 2002.12804), section 3.3: both losses have weight 1.
    """

    losses: ClassVar[tuple[str, ...]] = ("autoencoding", "partially_autoregressive")

    class Config(Section):
        """Options of the pseudo-masked criterion."""

        chunk_rows: Fact[int] = Field(1024, ge=1)
        """Labels scored at a time; smaller chunks need less memory, larger ones have less overhead."""

    model_type = Scorer
    batch_type = MaskedBatch
    config: PseudoMaskedLM.Config

    def weights(self, batch: MaskedBatch) -> dict[str, float]:
        """The number of labels of each loss that the task asks for."""
        weights = {}
        for name, chosen in _parts(batch).items():
            weights[name] = weights[f"{name}_accuracy"] = float(chosen.sum())
        return weights

    def forward(self, model: Scorer, batch: MaskedBatch, phase: str = "model") -> dict[str, Tensor]:
        """For each loss its sum, and the number of labels that are the most probable token."""
        features = model.features(batch)
        loss, right = score_labels(model.logits, features, batch.labels, 0.0, batch.pad_id, self.config.chunk_rows)
        sums = {}
        for name, chosen in _parts(batch).items():
            sums[name], sums[f"{name}_accuracy"] = (loss * chosen).sum(), (right & chosen).sum()
        return sums


def _parts(batch: MaskedBatch) -> dict[str, Tensor]:
    """The labels of each loss, `(N,)` bool: those at context slots, and those at pseudo slots."""
    steps = batch.steps.flatten()[batch.slots]
    parts = {"autoencoding": steps == 0, "partially_autoregressive": steps < 0}
    return {name: chosen for name, chosen in parts.items() if chosen.any()}
