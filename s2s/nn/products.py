"""Which library multiplies float32 matrices on a CPU: MKL or oneDNN, whichever is faster on this machine.

MKL uses half of the vector width on some processors that are not Intel's, so oneDNN is twice as fast there; on others
MKL is up to a fifth faster. So both are timed once, at the first use, which takes a tenth of a second, and the choice
is written to the disk for this machine and this torch. Results differ by rounding, so a resumed training run uses the
library that it began with. Packed layers (`s2s.nn.packed`) are oneDNN's on every machine.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

Library = Literal["onednn", "mkl"]
VARIABLE = "UNILATENT_PRODUCTS"
"""Environment variable that decides without timing."""

_ROWS, _INPUTS, _OUTPUTS, _ROUNDS = 512, 384, 1536, 5
_MARGIN = 0.95
"""MKL is chosen if it needs less than this share of oneDNN's time: two that are alike should not take turns."""

_library: Library | None = None


def library() -> Library:
    """The library of this process."""
    global _library
    if _library is None:
        given = os.environ.get(VARIABLE)
        _library = "mkl" if given == "mkl" else "onednn" if given == "onednn" else _of_machine()
    return _library


def use(chosen: Library) -> None:
    """Let this process use a library, whatever is faster."""
    global _library
    _library = chosen


def onednn_product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Rows `(..., in)` times a weight `(out, in)`, which may be packed, plus a bias, by oneDNN; no gradients."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")  # type: ignore[no-any-return]


def cache_folder() -> Path:
    """Where this package keeps what it has found out about machines."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "unilatent"


def cache_file() -> Path:
    """Where the choice of each machine is kept."""
    return cache_folder() / "products.json"


def _of_machine() -> Library:
    """The choice on the disk, or a new one. A file that is broken or cannot be written is no obstacle."""
    path, machine = cache_file(), _machine()
    known = _read(path)
    if machine in known:
        return known[machine]
    known[machine] = chosen = faster()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{os.getpid()}")
        partial.write_text(json.dumps(known, indent=1), encoding="utf-8")
        partial.replace(path)
    except OSError:
        pass
    return chosen


def _read(path: Path) -> dict[str, Library]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    entries = found.items() if isinstance(found, dict) else ()
    return {machine: name for machine, name in entries if name in get_args(Library)}


def _machine() -> str:
    """This machine by its name, and what else decides: torch, its vector instructions, the number of threads."""
    facts = platform.node(), platform.processor() or platform.machine(), torch.backends.cpu.get_cpu_capability()
    return f"{', '.join(facts)}, torch {torch.__version__}, {torch.get_num_threads()} threads"


def faster() -> Library:
    """Time a layer's product by both libraries, in turn; a torch without oneDNN has MKL alone, or its like."""
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return "mkl"
    x, weight = torch.ones(_ROWS, _INPUTS), torch.ones(_OUTPUTS, _INPUTS)
    ways: dict[Library, Callable[[], Tensor]] = {
        "mkl": lambda: F.linear(x, weight),
        "onednn": lambda: onednn_product(x, weight, None),
    }
    best = dict.fromkeys(ways, float("inf"))
    for turn in range(_ROUNDS + 1):
        for name, run in ways.items():
            begun = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - begun) if turn else best[name]  # the first one warms up
    return "mkl" if best["mkl"] < _MARGIN * best["onednn"] else "onednn"
