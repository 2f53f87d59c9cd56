"""Cross entropy with label smoothing, over chunks of rows so that the whole score matrix never exists."""

from __future__ import annotations

import math
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from s2s.config import Section
from s2s.criteria.base import Criterion
from s2s.registry import register_criterion


@register_criterion("cross_entropy")
class CrossEntropy(Criterion):
    """Cross entropy, or the KL divergence from smoothed labels, summed over the labels of a batch."""

    class Config(Section):
        """Options of the cross-entropy criterion."""

        label_smoothing: float = Field(0.1, ge=0, lt=1)
        """Probability spread evenly over all other tokens but the pad token; 0 is plain cross entropy."""
        chunk_rows: int = Field(1024, ge=1)
        """Labels scored at a time; less memory when smaller, less overhead when larger."""

    def __init__(self, config: CrossEntropy.Config) -> None:
        super().__init__(config)
        self.config: CrossEntropy.Config = config

    def weights(self, batch: Any) -> dict[str, float]:
        """The number of labels."""
        count = float(len(batch.labels))
        return {"loss": count, "accuracy": count}

    def forward(self, model: nn.Module, batch: Any, phase: str = "model") -> dict[str, Tensor]:
        """Summed loss, and the number of labels that are the most probable token."""
        features: Tensor = model.features(batch)  # type: ignore[operator]
        smoothing, pad_id, rows = self.config.label_smoothing, batch.pad_id, self.config.chunk_rows

        def score(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
            logits: Tensor = model.logits(features)  # type: ignore[operator]
            right = (logits.detach().argmax(-1) == labels).sum()
            return token_loss(logits, labels, smoothing, pad_id).sum(), right

        recompute = torch.is_grad_enabled() and len(features) > rows
        losses, rights = [], []
        for chunk, labels in zip(torch.split(features, rows), torch.split(batch.labels, rows), strict=True):
            loss, right = checkpoint(score, chunk, labels, use_reentrant=False) if recompute else score(chunk, labels)
            losses.append(loss)
            rights.append(right)
        return {"loss": torch.stack(losses).sum(), "accuracy": torch.stack(rights).sum()}


def token_loss(logits: Tensor, labels: Tensor, smoothing: float, pad_id: int) -> Tensor:
    """Loss of each label, `(N,)` float32.

    With smoothing e it is KL(q || p), where q is 1 - e on the label, e / (V - 2) on every other token but the pad
    token, and 0 there; its minimum is 0, and a pad label costs nothing. Without, it is -log p of the label.

    Args:
        logits: Scores, `(N, V)`.
        labels: Token ids, `(N,)`.

    Source: specs/s2s-ft.md, section 1.5; there the pad token is always id 0.
    """
    loss: Tensor = _Divergence.apply(logits, labels, smoothing, pad_id)  # type: ignore[no-untyped-call]
    return loss.masked_fill(labels == pad_id, 0.0) if smoothing else loss


class _Divergence(torch.autograd.Function):
    """KL(q || softmax(logits)) with its gradient, softmax - q, written out.

    The derived gradient would keep four matrices of `(N, V)` instead of two, and take 1.6 times as long.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, smoothing: float, pad_id: int) -> Tensor:
        log_probs = logits.log_softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))
        ctx.save_for_backward(log_probs, labels)
        ctx.smoothing, ctx.pad_id, ctx.dtype = smoothing, pad_id, logits.dtype
        label = log_probs.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
        if not smoothing:
            return -label
        share = smoothing / (log_probs.shape[-1] - 2)
        others = log_probs.sum(-1) - label - log_probs[:, pad_id]
        minimum = (1 - smoothing) * math.log(1 - smoothing) + smoothing * math.log(share)
        return minimum - (1 - smoothing) * label - share * others

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        log_probs, labels = ctx.saved_tensors
        share = ctx.smoothing / (log_probs.shape[-1] - 2)
        grad = log_probs.exp().sub_(share)
        grad[:, ctx.pad_id] += share
        at_label = labels.unsqueeze(-1)
        grad.scatter_add_(-1, at_label, torch.full_like(at_label, share - (1 - ctx.smoothing), dtype=grad.dtype))
        return grad.mul_(grads[0].unsqueeze(-1)).to(ctx.dtype), None, None, None
