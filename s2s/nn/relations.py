"""Relations: who resembles whom among the vectors of an attention layer, and how far two layers differ in it.

Axes: B sentences, L slots, R relation heads, D the width of a layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from s2s.nn.masks import additive


class Vectors(NamedTuple):
    """Two kinds of vectors of a layer, such as queries and keys, `(B, L, D)` each; `left` asks, `right` answers."""

    left: Tensor
    right: Tensor


def relation_divergence(
    teacher: Vectors, student: Vectors, heads: int, seen: Tensor, real: Tensor, chunk: int
) -> Tensor:
    """KL(teacher || student) of the relations, summed over the real slots and averaged over the heads: a scalar.

    All heads together are cut into `heads` parts of equal width d. The relation of a part is
    softmax(left right^T / sqrt(d)) over the slots that are seen; teacher and student have each their own d.
    Computed in float32 or wider. Sources: MiniLM (arXiv 2002.10957), MiniLMv2 (arXiv 2012.15828).

    Args:
        teacher: Vectors that get no gradient; their width may differ from the student's.
        student: Vectors of the student.
        heads: The number of relation heads R, which divides both widths.
        seen: Whether a slot sees another, `(B, L, L)` bool; every slot sees one at least.
        real: Slots that are not padding, `(B, L)` bool; no real slot sees the others.
        chunk: How many heads are computed at a time; memory grows with it.
    """
    teacher, student = _wide(teacher), _wide(student)
    bias, rows = additive(seen, student.left.dtype).unsqueeze(1), real[:, None, :, None]

    def compare(wanted: Vectors, own: Vectors) -> tuple[Tensor, Tensor]:
        log_target, log_own = log_relation(*wanted, bias), log_relation(*own, bias)
        target = log_target.exp() * rows
        return (target * (log_target - log_own)).sum() / heads, (log_own.exp() * rows - target) / heads

    return _compared(teacher, student, heads, chunk, compare)


def score_difference(teacher: Vectors, student: Vectors, heads: int, seen: Tensor, real: Tensor, chunk: int) -> Tensor:
    """Mean square difference of the attention scores of two layers, summed over the real slots: a scalar.

    Scores are left right^T / sqrt(d) of a head, before the softmax; the mean is over the heads and the slots that are
    seen. Arguments as for `relation_divergence`. Source: TinyBERT (arXiv 1909.10351), equation 7.
    """
    teacher, student = _wide(teacher), _wide(student)
    counts = seen.sum(-1, keepdim=True).to(student.left.dtype)
    shares = ((seen & real.unsqueeze(-1)) / (heads * counts)).unsqueeze(1)  # (B, 1, L, L)

    def compare(wanted: Vectors, own: Vectors) -> tuple[Tensor, Tensor]:
        difference = attention_scores(*own) - attention_scores(*wanted)
        shared = difference * shares
        return (difference * shared).sum(), 2 * shared

    return _compared(teacher, student, heads, chunk, compare)


def attention_scores(left: Tensor, right: Tensor) -> Tensor:
    """Scores `(B, R, L, L)` of vectors `(B, R, L, d)`."""
    return torch.matmul(left, right.transpose(-1, -2)) / math.sqrt(left.shape[-1])


def log_relation(left: Tensor, right: Tensor, bias: Tensor) -> Tensor:
    """Logarithms of the relations `(B, R, L, L)` of vectors `(B, R, L, d)`; `bias` is `HIDDEN` at hidden slots."""
    return (attention_scores(left, right) + bias).log_softmax(-1)


def split_heads(vectors: Tensor, heads: int) -> Tensor:
    """Vectors `(B, L, D)` cut into heads, `(B, R, L, D / R)`."""
    return vectors.reshape(*vectors.shape[:2], heads, -1).transpose(1, 2)


_Compare = Callable[[Vectors, Vectors], tuple[Tensor, Tensor]]
"""Of some heads `(B, R, L, d)` of teacher and student the loss, and its gradient at the student's scores."""


def _wide(vectors: Vectors) -> Vectors:
    return Vectors(*(side if side.dtype == torch.float64 else side.float() for side in vectors))


def _compared(teacher: Vectors, student: Vectors, heads: int, chunk: int, compare: _Compare) -> Tensor:
    with torch.autocast(student.left.device.type, enabled=False):
        loss: Tensor = _Comparison.apply(*student, *teacher, heads, chunk, compare)  # type: ignore[no-untyped-call]
    return loss


class _Comparison(torch.autograd.Function):
    """A loss of the student's scores with its gradient, which is written out in the forward pass.

    Autograd would keep several matrices of `(B, R, L, L)` until the backward pass; so only those of one chunk exist.
    """

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        *sides, heads, chunk, compare = arguments
        total: Tensor = sides[0].new_zeros(())
        grads = []
        for parts in zip(*(torch.split(split_heads(side, heads), chunk, dim=1) for side in sides), strict=True):
            left, right, *taught = parts
            loss, grad = compare(Vectors(*taught), Vectors(left, right))
            total += loss
            if any(ctx.needs_input_grad[:2]):
                grad = grad / math.sqrt(left.shape[-1])
                grads.append((grad @ right, grad.transpose(-1, -2) @ left))
        ctx.save_for_backward(*(torch.cat(side, dim=1).transpose(1, 2).flatten(2) for side in zip(*grads, strict=True)))
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        left, right = ctx.saved_tensors
        return left * grads[0], right * grads[0], None, None, None, None, None
