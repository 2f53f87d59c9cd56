"""Relations: who resembles whom among the vectors of an attention layer, and how far two layers differ in it.

Axes: B sentences, L slots, R relation heads, D the width of a layer.
"""

from __future__ import annotations

import math
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
    sides = [side if side.dtype == torch.float64 else side.float() for side in (*student, *teacher)]
    with torch.autocast(real.device.type, enabled=False):
        loss: Tensor = _Divergence.apply(*sides, heads, seen, real, chunk)  # type: ignore[no-untyped-call]
    return loss


def log_relation(left: Tensor, right: Tensor, bias: Tensor) -> Tensor:
    """Logarithms of the relations `(B, R, L, L)` of vectors `(B, R, L, d)`; `bias` is `HIDDEN` at hidden slots."""
    scores = torch.matmul(left, right.transpose(-1, -2)) / math.sqrt(left.shape[-1])
    return (scores + bias).log_softmax(-1)


def split_heads(vectors: Tensor, heads: int) -> Tensor:
    """Vectors `(B, L, D)` cut into heads, `(B, R, L, D / R)`."""
    return vectors.reshape(*vectors.shape[:2], heads, -1).transpose(1, 2)


class _Divergence(torch.autograd.Function):
    """The divergence with its gradient, which is written out in the forward pass.

    The gradient of a score is the student's relation minus the teacher's. Autograd would keep several matrices of
    `(B, R, L, L)` until the backward pass; so only those of one chunk exist.
    """

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        *sides, heads, seen, real, chunk = arguments
        bias, rows = additive(seen, sides[0].dtype).unsqueeze(1), real[:, None, :, None]
        total: Tensor = sides[0].new_zeros(())
        grads = []
        for parts in zip(*(torch.split(split_heads(side, heads), chunk, dim=1) for side in sides), strict=True):
            left, right, teacher_left, teacher_right = parts
            own, wanted = log_relation(left, right, bias), log_relation(teacher_left, teacher_right, bias)
            target = wanted.exp() * rows
            total += (target * (wanted - own)).sum() / heads
            if any(ctx.needs_input_grad[:2]):
                grad = (own.exp() * rows - target) / (heads * math.sqrt(left.shape[-1]))
                grads.append((grad @ right, grad.transpose(-1, -2) @ left))
        ctx.save_for_backward(*(torch.cat(side, dim=1).transpose(1, 2).flatten(2) for side in zip(*grads, strict=True)))
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        left, right = ctx.saved_tensors
        return left * grads[0], right * grads[0], None, None, None, None, None, None
