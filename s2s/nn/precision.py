"""The widest floating-point type of a device."""

from __future__ import annotations

import torch
from torch import Tensor

_NO_FLOAT64 = {"mps"}


def widest(device: torch.device) -> torch.dtype:
    """float64, or float32 on a device that has no float64 (Apple's MPS)."""
    return torch.float32 if device.type in _NO_FLOAT64 else torch.float64


def widened(tensor: Tensor) -> Tensor:
    """The tensor in the widest type of its device."""
    return tensor.to(widest(tensor.device))
