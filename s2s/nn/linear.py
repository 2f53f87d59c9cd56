"""Linear layers on a CPU by oneDNN, where that is faster (`s2s.nn.products`). For generation see `s2s.nn.packed`.

oneDNN computes in the same precision as MKL, which `F.linear` calls (AMD EPYC with AVX-512, one thread, torch 2.13,
384 x 1536, both passes: 178 instead of 91 GFLOP/s). On other devices, and in other types than float32, these are
torch's own layers.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from s2s.nn.products import library, onednn_product

# oneDNN caches a kernel for each number of rows, with buffers as large as the weights. Packed batches have a new number
# each time: with the default limit of 1024 kernels a training run grows by gigabytes. A small limit costs no time.
_LIMITS = [name for name in ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY") if name not in os.environ]
os.environ.update(dict.fromkeys(_LIMITS, "64"))


def remember_kernels() -> None:
    """Let oneDNN cache more kernels, for speech, where the same hundred shapes recur in every frame.

    A kernel takes about half a MiB. In a server, whose batches have ever new shapes, the cache fills. With a limit of
    1024 it took 300 MiB more after two minutes than with 64; eight rows of speech cost as much time as with 256.

    Call it before the first product of the process; afterwards it has no effect.
    """
    os.environ.update(dict.fromkeys(_LIMITS, "256"))


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Rows `(..., in)` times a weight `(out, in)`, plus a bias `(out,)`; gives `(..., out)`."""
    fits = is_for_onednn(x) and is_for_onednn(weight) and not torch.is_autocast_enabled("cpu")
    if not fits or library() == "mkl":
        return F.linear(x, weight, bias)
    return _OneDnnLinear.apply(x, weight, bias)  # type: ignore[no-any-return, no-untyped-call]


class Linear(nn.Linear):
    """`nn.Linear`, by `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """Rows `(..., in)` to rows `(..., out)`."""
        return linear(x, self.weight, self.bias)


_HAS_ONEDNN = bool(torch.backends.mkldnn.is_available()) and all(  # type: ignore[no-untyped-call]
    hasattr(torch.ops.mkldnn, name) for name in ("_linear_pointwise", "_reorder_linear_weight")
)


def is_for_onednn(tensor: Tensor) -> bool:
    """Whether oneDNN multiplies such a tensor: on a CPU that has it, in float32."""
    return _HAS_ONEDNN and tensor.device.type == "cpu" and tensor.dtype == torch.float32


class _OneDnnLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return onednn_product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous()
        rows = gradient.flatten(0, -2)
        if not len(rows):  # oneDNN has no such product
            return torch.zeros_like(x), torch.zeros_like(weight), rows.sum(0)
        return (
            onednn_product(gradient, weight.t(), None) if ctx.needs_input_grad[0] else None,
            onednn_product(rows.t(), x.flatten(0, -2).t(), None) if ctx.needs_input_grad[1] else None,
            rows.sum(0) if ctx.needs_input_grad[2] else None,
        )
