"""Loss of tokens given features, in chunks of rows, so that the whole score matrix never exists."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def score_labels(
    logits: Callable[[Tensor], Tensor], features: Tensor, labels: Tensor, smoothing: float, pad_id: int, rows: int
) -> tuple[Tensor, Tensor]:
    """Loss of each label, and whether it is the most probable token.

    Args:
        logits: Maps features `(n, D)` to scores over the vocabulary `(n, V)`; called again in the backward pass.
        features: `(N, D)`.
        labels: Token ids, `(N,)`.
        smoothing: See `token_loss`.
        pad_id: See `token_loss`.
        rows: Maximum number of rows scored at a time.

    Returns:
        `(N,)` float32 or wider, and `(N,)` bool.
    """

    def score(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        scores = logits(features)
        wide = torch.promote_types(scores.dtype, torch.float32)  # in bfloat16 a CPU takes five times as long
        best = scores.detach().to(wide).argmax(-1)
        return token_loss(scores, labels, smoothing, pad_id), best == labels

    recompute = torch.is_grad_enabled() and len(features) > rows
    losses, rights = [], []
    for chunk, chunk_labels in zip(torch.split(features, rows), torch.split(labels, rows), strict=True):
        if recompute:
            loss, right = checkpoint(score, chunk, chunk_labels, use_reentrant=False)
        else:
            loss, right = score(chunk, chunk_labels)
        losses.append(loss)
        rights.append(right)
    return torch.cat(losses), torch.cat(rights)


def token_loss(logits: Tensor, labels: Tensor, smoothing: float, pad_id: int) -> Tensor:
    """Loss `(N,)` float32 of labels `(N,)`, given scores `(N, V)`.

    With smoothing e it is KL(q || p), where q is 1 - e at the label, 0 at the pad token, and e / (V - 2) at every other
    token; its minimum is 0, and the loss of a pad label is 0. Without smoothing it is -log p of the label.

    Source: `microsoft/unilm: s2s-ft/s2s_ft/modeling.py`; there the pad token is always id 0.
    """
    loss: Tensor = _Divergence.apply(logits, labels, smoothing, pad_id)  # type: ignore[no-untyped-call]
    return loss.masked_fill(labels == pad_id, 0.0) if smoothing else loss


class _Divergence(torch.autograd.Function):
    """KL(q || softmax(logits)) with its gradient, softmax - q, written out.

    Autograd would keep four matrices of `(N, V)` instead of two, and take 1.6 times as long.
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
