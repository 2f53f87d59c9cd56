"""Loss of tokens given features, in chunks of rows, so that the whole score matrix never exists."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def score_labels(
    logits: Callable[[Tensor], Tensor],
    features: Tensor,
    labels: Tensor,
    smoothing: float,
    pad_id: int | None,
    rows: int,
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

    def score(features: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        scores = logits(features)
        return token_loss(scores, labels, smoothing, pad_id), best_tokens(scores) == labels

    loss, right = by_rows(score, rows, features, labels)
    return loss, right


def by_rows(score: Callable[..., tuple[Tensor, ...]], rows: int, *columns: Tensor) -> tuple[Tensor, ...]:
    """What `score` gives for the rows of `columns`, some at a time; if not all at once, again in the backward pass."""
    chunks = list(zip(*(torch.split(column, rows) for column in columns), strict=True))
    if torch.is_grad_enabled() and len(chunks) > 1:
        results = [checkpoint(score, *chunk, use_reentrant=False) for chunk in chunks]
    else:
        results = [score(*chunk) for chunk in chunks]
    return tuple(torch.cat(parts) for parts in zip(*results, strict=True))


def best_tokens(scores: Tensor) -> Tensor:
    """The most probable token `(N,)` of each row of scores `(N, V)`."""
    wide = torch.promote_types(scores.dtype, torch.float32)  # in bfloat16 a CPU takes five times as long
    return scores.detach().to(wide).argmax(-1)


def token_loss(logits: Tensor, labels: Tensor, smoothing: float, pad_id: int | None) -> Tensor:
    """Loss `(N,)` float32 of labels `(N,)`, given scores `(N, V)`.

    With smoothing e it is KL(q || p), where q is 1 - e at the label, 0 at the pad token, and e / (V - 2) at every other
    token; its minimum is 0, and the loss of a pad label is 0. If `pad_id` is None, the pad token is a token like any
    other, and their share e / (V - 1). Without smoothing the loss is -log p of the label.

    Source: `microsoft/unilm: s2s-ft/s2s_ft/modeling.py`; there the pad token is always id 0.
    """
    loss: Tensor = _Divergence.apply(logits, labels, smoothing, pad_id)  # type: ignore[no-untyped-call]
    return loss.masked_fill(labels == pad_id, 0.0) if smoothing and pad_id is not None else loss


def teacher_divergence(scores: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """KL(teacher || student), `(N,)` float32, of the softmax of scores divided by the temperature, times its square.

    The factor keeps the size of the gradient.

    Source: Hinton et al. (2015), arXiv 1503.02531, section 2.

    Args:
        scores: Of the student, `(N, V)`; they alone get a gradient.
        wanted: Of the teacher, `(N, V)`.
    """
    loss: Tensor = _Softened.apply(scores, wanted, temperature)  # type: ignore[no-untyped-call]
    return loss


class _Softened(torch.autograd.Function):
    """The divergence of softened distributions with its gradient, temperature (student - teacher), written out."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, wanted: Tensor, temperature: float) -> Tensor:
        wide = torch.promote_types(scores.dtype, torch.float32)
        own, taught = ((side.to(wide) / temperature).log_softmax(-1) for side in (scores, wanted))
        target = taught.exp()
        loss = temperature**2 * (target * (taught - own)).sum(-1)
        ctx.save_for_backward(own.exp_().sub_(target).mul_(temperature))
        ctx.dtype = scores.dtype
        return loss

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (difference,) = ctx.saved_tensors
        return (difference * grads[0].unsqueeze(-1)).to(ctx.dtype), None, None


class _Divergence(torch.autograd.Function):
    """KL(q || softmax(logits)) with its gradient, softmax - q, written out.

    Autograd would keep four matrices of `(N, V)` instead of two, and take 1.6 times as long.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, smoothing: float, pad_id: int | None) -> Tensor:
        log_probs = logits.log_softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))
        ctx.save_for_backward(log_probs, labels)
        ctx.smoothing, ctx.pad_id, ctx.dtype = smoothing, pad_id, logits.dtype
        label = log_probs.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
        if not smoothing:
            return -label
        share = smoothing / (log_probs.shape[-1] - (1 if pad_id is None else 2))
        others = log_probs.sum(-1) - label
        if pad_id is not None:
            others = others - log_probs[:, pad_id]
        minimum = (1 - smoothing) * math.log(1 - smoothing) + smoothing * math.log(share)
        return minimum - (1 - smoothing) * label - share * others

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        log_probs, labels = ctx.saved_tensors
        share = ctx.smoothing / (log_probs.shape[-1] - (1 if ctx.pad_id is None else 2))
        grad = log_probs.exp().sub_(share)
        if ctx.pad_id is not None:
            grad[:, ctx.pad_id] += share
        at_label = labels.unsqueeze(-1)
        grad.scatter_add_(-1, at_label, torch.full_like(at_label, share - (1 - ctx.smoothing), dtype=grad.dtype))
        return grad.mul_(grads[0].unsqueeze(-1)).to(ctx.dtype), None, None, None
