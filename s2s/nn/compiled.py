"""The kernels of `kernels.cpp` for a CPU: attention of a few queries over many keys, and numbers as bytes.

torch has no operation for these. The machine's C++ compiler builds them once, in a second, and the library is kept in
the cache of the user. Where there is no compiler, operations of torch serve, with the same results but for rounding.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import shlex
import shutil
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from s2s.nn.products import cache_folder

logger = logging.getLogger(__name__)

VARIABLE = "UNILATENT_KERNELS"
"""Environment variable: with "torch", nothing is compiled."""

FEW = 32
"""Queries above which torch's attention is as fast."""

_LEAST = 32768
"""Numbers for which a second thread is worth its start."""

_SOURCE = Path(__file__).with_name("kernels.cpp")
_ARRAYS = {"query_strides": 3, "key_strides": 3, "value_strides": 3, "bias_strides": 4, "output_strides": 3}
_SIZES = ("sentences", "heads", "queries_each", "keys_each", "width", "in_bfloat16", "threads")


class _Call(ctypes.Structure):
    """`Call` of kernels.cpp."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("queries", "keys", "values", "bias", "output")),
        *((name, ctypes.c_int64 * length) for name, length in _ARRAYS.items()),
        *((name, ctypes.c_int64) for name in _SIZES),
        ("scale", ctypes.c_float),
    )


def available() -> bool:
    """Whether this machine has the kernels; the first call may compile them."""
    return _library() is not None


def takes(head_width: int) -> bool:
    """Whether there are kernels for heads of this width."""
    return head_width % 16 == 0


def serves(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None) -> bool:
    """Whether `attend` takes these arguments, and is faster than torch."""
    return (
        (queries.shape[2] <= FEW or keys.dtype == torch.bfloat16)
        and queries.device.type == "cpu"
        and queries.dtype == torch.float32
        and keys.dtype == values.dtype
        and keys.dtype in (torch.float32, torch.bfloat16)
        and keys.shape[1] == queries.shape[1]
        and takes(queries.shape[3])
        and queries.stride(3) == keys.stride(3) == values.stride(3) == 1
        and (bias is None or bias.dtype == torch.float32)
        and not (torch.is_grad_enabled() and any(part.requires_grad for part in (queries, keys, values)))
        and not torch.compiler.is_compiling()
        and available()
    )


def attend(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None) -> Tensor:
    """Scaled dot-product attention, see `s2s.nn.attention.attend`; keys and values may be bfloat16.

    The result of a query depends on the keys that it sees and their order alone, bit by bit.
    """
    library = _library()
    assert library is not None, "what `serves` has asked"
    (sentences, heads, count, width), number = queries.shape, keys.shape[2]
    if not number:
        return torch.full_like(queries, torch.nan)
    output = queries.new_empty(sentences, count, heads, width).transpose(1, 2)
    seen = None if bias is None else bias.expand(sentences, heads, count, number)
    call = _Call(
        *(part.data_ptr() for part in (queries, keys, values)),
        None if seen is None else seen.data_ptr(),
        output.data_ptr(),
        *(part.stride()[:3] for part in (queries, keys, values)),
        (0, 0, 0, 0) if seen is None else seen.stride(),
        output.stride()[:3],
        *(sentences, heads, count, number, width, keys.dtype == torch.bfloat16, torch.get_num_threads()),
        width**-0.5,
    )
    with _named("attend"):
        library.attend(ctypes.byref(call))
    return output


def to_bytes(rows: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """Rows `(N, W)`, contiguous, as bytes around 128, `levels` for the largest number of a row; and these `(N, 1)`."""
    library, (count, width) = _library(), rows.shape
    assert library is not None, "what `available` has said"
    bytes_, largest = rows.new_empty(rows.shape, dtype=torch.uint8), rows.new_empty(count, 1)
    places = bytes_.data_ptr(), largest.data_ptr()
    with _named("to_bytes"):
        library.to_bytes(rows.data_ptr(), count, width, levels, *places, _threads(rows))
    return bytes_, largest


def scale_rows(rows: Tensor, scales: Tensor, bias: Tensor | None) -> Tensor:
    """Rows `(N, W)`, contiguous, times scales `(N, 1)`, plus a bias `(W,)`, in place."""
    library = _library()
    assert library is not None, "what `available` has said"
    added = None if bias is None else bias.data_ptr()
    with _named("scale_rows"):
        library.scale_rows(rows.data_ptr(), *rows.shape, scales.data_ptr(), added, _threads(rows))
    return rows


def _named(kernel: str) -> AbstractContextManager[Any]:
    """Show a kernel to torch's profiler, if that is on."""
    on = torch.autograd.profiler._is_profiler_enabled
    return torch.profiler.record_function(f"kernels::{kernel}") if on else nullcontext()


def _threads(rows: Tensor) -> int:
    """One for what is done before a second thread has begun."""
    return torch.get_num_threads() if rows.numel() >= _LEAST else 1


@cache
def _library() -> ctypes.CDLL | None:
    if os.environ.get(VARIABLE) == "torch" or not sys.platform.startswith("linux"):
        return None
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    try:
        return None if compiler is None else _declared(_opened(shlex.split(compiler)))
    except (OSError, subprocess.SubprocessError) as error:
        logger.debug("kernels.cpp cannot be compiled, torch's operations serve: %s", error)
        return None


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    place, size = ctypes.c_void_p, ctypes.c_int64
    library.attend.argtypes = (place,)
    library.to_bytes.argtypes = (place, size, size, ctypes.c_float, place, place, size)
    library.scale_rows.argtypes = (place, size, size, place, place, size)
    return library


def _opened(compiler: list[str]) -> ctypes.CDLL:
    """The library; a file that cannot be opened is compiled again."""
    path = _compiled(compiler)
    try:
        return ctypes.CDLL(str(path))
    except OSError:
        path.unlink()
        return ctypes.CDLL(str(_compiled(compiler)))


def _compiled(compiler: list[str]) -> Path:
    """The library on the disk, which is compiled if this source has not been for such a processor."""
    command = [*compiler, "-O3", *_instructions(), "-fopenmp", "-fPIC", "-shared"]
    key = hashlib.sha256(_SOURCE.read_bytes() + repr(command).encode()).hexdigest()[:16]
    path = cache_folder() / f"kernels-{key}.so"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{os.getpid()}")
        subprocess.run([*command, "-o", str(partial), str(_SOURCE)], check=True, capture_output=True, timeout=120)
        partial.replace(path)
    return path


def _instructions() -> list[str]:
    """Options for the instructions that torch uses here; a folder that several machines share suits them all."""
    capability = torch.backends.cpu.get_cpu_capability()
    if capability == "AVX512":
        supported = torch.cpu._is_avx512_bf16_supported()
        return ["-march=x86-64-v4", *(["-mavx512bf16"] if supported else [])]
    return ["-march=x86-64-v3"] if capability == "AVX2" else []
