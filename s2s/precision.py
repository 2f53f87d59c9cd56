"""The precision of weights on the disk: halves, or 8 bits with a scale for each row. In memory they are float32."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from s2s.errors import InputError

PRECISIONS = ("float32", "float16", "bfloat16", "int8")
SCALE = "_scale"
"""Ends the name of the scales of an int8 tensor."""
_LARGEST = 127
_FEWEST = 1024
"""Tensors with fewer numbers stay float32: together they hardly count."""


def stored(weights: Mapping[str, Tensor], precision: str) -> dict[str, Tensor]:
    """Weights as they are written, on the CPU.

    int8: a matrix or kernel `(R, ...)` becomes whole numbers from -127 to 127 and, under its name with "_scale",
    float32 factors `(R,)`: the largest absolute value of each row is 127. An error is at most half a factor. Vectors
    and small tensors stay float32.

    Raises:
        InputError: a weight is beyond the range of the precision.
    """
    if precision == "int8":
        return {key: value for name, tensor in weights.items() for key, value in _quantized(name, tensor).items()}
    dtype = getattr(torch, precision)
    found = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
    for name, tensor in found.items():
        if not tensor.isfinite().all():
            raise InputError(f"{name} has a weight beyond the range of {precision}; bfloat16 has the range of float32")
    return found


def restored(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as they were before `stored` made 8 bits of them; others are not changed.

    Raises:
        InputError: there are not as many factors as rows.
    """
    found = dict(tensors)
    for name, tensor in tensors.items():
        if tensor.dtype == torch.int8 and (scale := found.pop(name + SCALE, None)) is not None:
            if scale.shape != tensor.shape[:1]:
                raise InputError(
                    f"{name + SCALE} has shape {tuple(scale.shape)}, not {tuple(tensor.shape[:1])}: a factor for a row"
                )
            found[name] = tensor.float() * _by_row(scale, tensor)
    return found


def _quantized(name: str, tensor: Tensor) -> dict[str, Tensor]:
    if not tensor.is_floating_point() or tensor.ndim < 2 or tensor.numel() < _FEWEST:
        return {name: tensor}
    rows = tensor.detach().float()
    scale = rows.flatten(1).abs().amax(1) / _LARGEST
    whole = (rows / _by_row(scale.clamp_min(torch.finfo().tiny), rows)).round().to(torch.int8)
    return {name: whole, name + SCALE: scale}


def _by_row(scale: Tensor, rows: Tensor) -> Tensor:
    return scale.view(-1, *[1] * (rows.ndim - 1))
