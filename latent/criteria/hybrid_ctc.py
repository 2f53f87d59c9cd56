"""Cross entropy of a recognizer's text, and CTC of what its source positions hear."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import NonNegativeFloat
from torch import Tensor
from torch.nn import functional as F

from latent.data.batch import HeardBatch
from latent.nn.ctc import by_recording
from s2s.criteria.base import Scorer
from s2s.criteria.cross_entropy import CrossEntropy
from s2s.nn.token_loss import score_labels
from s2s.registry import register_criterion


@register_criterion("hybrid_ctc")
class HybridCTC(CrossEntropy):
    """Cross entropy of the text, and connectionist temporal classification of the latents by the same head.

    CTC tells each latent which token sounds there, the pad token being the blank. Attention learns from little data
    only with it. The decoder `joint_ctc` uses both.

    Source: Kim, Hori, Watanabe (arXiv 1609.06773); CTC: Graves et al., ICML 2006.
    """

    losses: ClassVar[tuple[str, ...]] = ("loss", "ctc_loss")
    batch_type: ClassVar[type] = HeardBatch

    class Config(CrossEntropy.Config):
        """Options of the hybrid criterion."""

        ctc_weight: NonNegativeFloat = 0.5
        """Factor of CTC, the negative log-probability of the text for each of its tokens. Texts that have more tokens
        than their recording has latents are left out of it."""

    config: HybridCTC.Config

    def weights(self, batch: HeardBatch) -> dict[str, float]:  # type: ignore[override]
        """The number of labels, and of tokens of the texts."""
        return {**super().weights(batch), "ctc_loss": float(batch.text_lengths.sum())}

    def forward(self, model: Scorer, batch: HeardBatch, phase: str = "model") -> dict[str, Tensor]:  # type: ignore[override]
        """Summed losses, and the number of labels that are the most probable token."""
        smoothing, rows = self.config.label_smoothing, self.config.chunk_rows
        features = model.features(replace(batch, slots=torch.cat([batch.slots, batch.latent_slots])))
        told, heard = torch.split(features, [len(batch.slots), len(batch.latent_slots)])
        loss, right = score_labels(model.logits, told, batch.labels, smoothing, batch.pad_id, rows)
        ctc = self.config.ctc_weight * _ctc(model.logits(heard), batch)
        return {"loss": loss.sum(), "accuracy": right.sum(), "ctc_loss": ctc}


def _ctc(logits: Tensor, batch: HeardBatch) -> Tensor:
    """The summed CTC loss of scores `(M, V)` at the latents of a batch."""
    log_probs = logits.log_softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))
    padded, frames = by_recording(log_probs, batch.latent_slots, *batch.tokens.shape)
    given = (padded.transpose(0, 1), batch.texts, frames, batch.text_lengths)
    return F.ctc_loss(*given, blank=batch.pad_id, reduction="sum", zero_infinity=True)
