"""The one protocol of the benchmarks: systems in turn in one process, wall and processor time, medians and range.

A `System` does a fixed amount of work when it is called. `compare` warms all of them up, keeps their outputs, and then
times them in turn, round after round, so that what else the machine does disturbs all alike. A `Table` holds every
single time; `report` makes text of it.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

REPO = Path(__file__).parents[1]
PEERS = ("transformers", "ctranslate2")


class Spent(NamedTuple):
    """Seconds of a piece of work: by the clock, and of all processors for it."""

    wall: float
    cpu: float


Run = Callable[[], Any]
Timed = Callable[[], tuple[Spent, Any]]


@dataclass(frozen=True)
class System:
    """Something that is timed.

    Args:
        name: For tables.
        timed: Does the work once; gives what it took, and its output.
        gflop: Operations of the matrix products in one call; None if unknown.
    """

    name: str
    timed: Timed
    gflop: float | None = None


@dataclass
class Row:
    """The times of one system, one for each round, and facts about it such as its memory or its outputs."""

    system: str
    wall: list[float]
    cpu: list[float]
    gflop: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class Table:
    """Systems that did the same work.

    Args:
        title: Of the work.
        unit: What is counted, such as "sentences".
        amount: Units of one call.
        base: Name of the system that speeds are relative to.
        rows: The systems.
        peak: GFLOP/s of plain float32 products, by kernel, one value for each round; by processor time.
        notes: What else the reader must know, a sentence each.
    """

    title: str
    unit: str
    amount: float
    base: str
    rows: list[Row]
    peak: dict[str, list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def in_process(run: Run) -> Timed:
    """Times a function of this process."""

    def timed() -> tuple[Spent, Any]:
        wall, cpu = time.perf_counter(), time.process_time()
        output = run()
        return Spent(time.perf_counter() - wall, time.process_time() - cpu), output

    return timed


def command(arguments: Sequence[str], folder: Path = REPO) -> Timed:
    """Times a whole program that starts in a folder, start and end included; its output is its standard output."""

    def timed() -> tuple[Spent, Any]:
        begun = time.perf_counter()
        process = subprocess.Popen(arguments, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(arguments)}: status {process.returncode}")
        return Spent(time.perf_counter() - begun, usage.ru_utime + usage.ru_stime), output

    return timed


def compare(
    title: str, unit: str, amount: float, systems: Sequence[System], rounds: int, device: str = "cpu"
) -> tuple[Table, dict[str, Any]]:
    """Time systems in turn; the first one is the base. Also gives the outputs of the warm-up, by system."""
    outputs = {system.name: system.timed()[1] for system in systems}
    table = Table(title, unit, amount, systems[0].name, [Row(one.name, [], [], one.gflop) for one in systems])
    for number in range(rounds):
        for kernel, speed in peaks().items() if device == "cpu" else ():
            table.peak.setdefault(kernel, []).append(speed)
        order = [(number + index) % len(systems) for index in range(len(systems))]
        for index in order:
            spent, _ = systems[index].timed()
            table.rows[index].wall.append(spent.wall)
            table.rows[index].cpu.append(spent.cpu)
    return table, outputs


def agreement(own: Any, other: Any) -> str:
    """How far two lists of token lists agree, in words for a table."""
    pairs = [(mine, theirs) for mine, theirs in zip(own, other, strict=True)]
    if all(list(mine) == list(theirs) for mine, theirs in pairs):
        return "the same"
    same = sum(list(mine) == list(theirs) for mine, theirs in pairs)
    tokens = [a == b for mine, theirs in pairs for a, b in zip(mine, theirs)]  # noqa: B905
    return f"{same} of {len(pairs)} the same, {statistics.mean(tokens):.0%} of the tokens"


def peaks() -> dict[str, float]:
    """GFLOP/s, by processor time, of a product of two 1024 x 1024 float32 matrices now, by MKL and by oneDNN."""
    matrix = torch.ones(1024, 1024)
    kernels: dict[str, Run] = {"torch.matmul": lambda: matrix @ matrix}
    if torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        kernels["oneDNN"] = lambda: torch.ops.mkldnn._linear_pointwise(matrix, matrix, None, "none", [], "")
    found = {}
    for name, run in kernels.items():
        run()
        found[name] = 2 * 1024**3 / min(in_process(run)()[0].cpu for _ in range(5)) / 1e9
    return found


def probe(device: str = "cpu") -> float:
    """GFLOP/s, by the clock, of a product of two 1024 x 1024 float32 matrices now."""
    matrix = torch.ones(1024, 1024, device=device)
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        matrix @ matrix
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begun)
    return 2 * 1024**3 / min(times) / 1e9


def linear_flops(x: Sequence[int], weight: Any, *rest: Any, out_shape: Sequence[int], **others: Any) -> int:
    """Operations of a oneDNN linear layer, which the counter of torch does not know."""
    return 2 * math.prod(out_shape) * x[-1]


def gflop(run: Run) -> float:
    """Operations of the matrix products of one call, in GFLOP."""
    ours = {torch.ops.mkldnn._linear_pointwise: linear_flops} if hasattr(torch.ops.mkldnn, "_linear_pointwise") else {}
    with FlopCounterMode(display=False, custom_mapping=ours) as counter:
        run()
    return counter.get_total_flops() / 1e9


def peak_memory(run: Run, device: str = "cpu") -> float:
    """Peak MB of tensors during a call, less what there was before it."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        run()
    assert profile.profiler is not None
    assert profile.profiler.kineto_results is not None
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    return max(itertools.accumulate(event.nbytes() for event in events)) / 1e6


def heads(width: int) -> int:
    """Attention heads of a model of that width."""
    return 12 if width % 12 == 0 else 4


def parse_size(text: str) -> tuple[int, int]:
    """Parse LAYERSxWIDTH."""
    layers, _, width = text.partition("x")
    return int(layers), int(width)


def machine() -> dict[str, Any]:
    """What the numbers of this process depend on besides the code."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.is_file() else ""
    named = {
        key: match[1] for key in ("model name", "cpu family", "model") if (match := re.search(rf"{key}\s+: (.+)", text))
    }
    flags = set((re.search(r"flags\s+: (.+)", text) or ["", ""])[1].split())
    kinds = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_tile")
    return {
        "processor": named.get("model name", platform.processor() or platform.machine()),
        "family": f"{named['cpu family']}.{named['model']}" if {"cpu family", "model"} <= named.keys() else "",
        "instructions": [name for name in kinds if name in flags],
        "limit": os.environ.get("ATEN_CPU_CAPABILITY", ""),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "peers": {name: found for name in PEERS if (found := _version(name))},
        "commit": _commit(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str:
    asked = ["git", "-C", str(REPO), "describe", "--always", "--dirty", "--exclude=*"]
    done = subprocess.run(asked, capture_output=True, text=True)
    return done.stdout.strip()


def as_json(suite: str, arguments: Sequence[str], tables: Sequence[Table]) -> str:
    """What a run of a suite measured, for a file that `report` reads."""
    record = {
        "suite": suite,
        "command": " ".join(["python benchmarks/run.py", *arguments]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "tables": [asdict(table) for table in tables],
    }
    return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


def python(*arguments: str) -> list[str]:
    """A command of this interpreter."""
    return [sys.executable, *arguments]
