"""A guard for steps that must not wait for the device: what would make the host wait on a GPU fails, also on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

WAITING = {
    "_local_scalar_dense",
    "bincount",
    "equal",
    "is_nonzero",
    "masked_select",
    "nonzero",
    "unique_consecutive",
    "unique_dim",
    "_unique",
    "_unique2",
}
"""Operators whose result, or its shape, the host must read."""
VARYING = {"aten.repeat_interleave.Tensor", "aten.repeat_interleave.self_Tensor"}
"""The same, unless they are told how long the result is."""
READING = {"cpu", "item", "numpy", "tolist", "__array__"}
"""Methods by which the host reads a tensor."""
COPYING = {"lift_fresh"}
"""What a tensor made of numbers of the host goes through: a copy, which a captured step may not hold."""


class HostWait(AssertionError):
    """The step would wait for the device, or copy to it."""


class _Operators(TorchDispatchMode):
    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function.overloadpacket.__name__
        if name in WAITING | COPYING:
            raise HostWait(name)
        if name in ("index", "index_put", "index_put_", "_index_put_impl_") and any(map(_is_mask, args[1])):
            raise HostWait(f"{name} with a mask")
        if str(function) in VARYING and (kwargs or {}).get("output_size") is None:
            raise HostWait("repeat_interleave of unknown length")
        return function(*args, **(kwargs or {}))


class _Methods(TorchFunctionMode):
    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(function, "__name__", "")
        if name in READING and function is getattr(Tensor, name, None):
            raise HostWait(name)
        return function(*args, **(kwargs or {}))


def _is_mask(index: Tensor | None) -> bool:
    return index is not None and index.dtype in (torch.bool, torch.uint8)


@contextmanager
def no_host_waits() -> Iterator[None]:
    """Raise `HostWait` where the host would wait for the device; on a GPU, let torch raise an error too."""
    on_gpu = torch.cuda.is_available()
    before = torch.cuda.get_sync_debug_mode() if on_gpu else 0
    if on_gpu:
        torch.cuda.set_sync_debug_mode("error")
    try:
        with _Methods(), _Operators():
            yield
    finally:
        if on_gpu:
            torch.cuda.set_sync_debug_mode(before)
