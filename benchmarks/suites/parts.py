"""Where a beam search of ours spends its time, and what of the peak its matrix products reach, part by part.

torch's profiler gives the shares of the time and the shapes of every operation; a product's operations follow from its
shapes. The shares are of the processor time of a run without the profiler. The peak is the fastest plain float32
product of the same minute. The last note says what the rest may cost at most if the whole is to reach four fifths of
the peak.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from measuring import Row, Table, in_process, peaks

from suites import decode

GOAL = 0.8
CLOCKS = ("wall", "cpu")
ATTENTION = ("scaled_dot_product", "kernels::attend")
BYTES = ("kernels::to_bytes", "kernels::scale_rows")
SMALL = ("log_softmax", "topk", "max", "gather", "sort", "isfinite")
PARTS = (
    "encoder products",
    "step products",
    "vocabulary product",
    "attention",
    "rows as bytes",
    "activation, norms",
    "scores and search",
    "copies",
    "rest",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of `decode`."""
    decode.add_options(parser)


def measure(args: argparse.Namespace) -> Iterator[Table]:
    """A table for each size, kind and precision."""
    for size in args.sizes:
        for kind in args.kinds:
            for precision in args.precision:
                yield of_case(f"{kind} {precision}", argparse.Namespace(**{**vars(args), "sizes": [size]}))


def of_case(name: str, args: argparse.Namespace) -> Table:
    """The parts of one system; those of the clock have the same shares as those of processors."""
    run = decode.own(name, args)
    run()
    found: dict[str, list[tuple[float, float, float]]] = {part: [] for part in PARTS}
    peak: dict[str, list[float]] = {}
    for _ in range(args.rounds):
        for kernel, speed in peaks().items():
            peak.setdefault(kernel, []).append(speed)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], record_shapes=True) as profile:
            run()
        spent, _ = in_process(run)()
        shares = parts_of(profile.key_averages(group_by_input_shape=True), args)
        for part, (share, work) in shares.items():
            found[part].append((share * spent.wall, share * spent.cpu, work))
    return table_of(f"{args.sizes[0][0]} x {args.sizes[0][1]}, {name}", found, peak, args)


def table_of(
    name: str,
    found: Mapping[str, Sequence[tuple[float, float, float]]],
    peak: dict[str, list[float]],
    args: argparse.Namespace,
) -> Table:
    """Times and GFLOP of each part as a table, with their sums."""
    rows = []
    for part, spent in found.items():
        wall, cpu, work = zip(*spent, strict=True)
        if not any(cpu):
            continue
        rows.append(Row(part, list(wall), list(cpu), max(work) or None))
    sums = [[sum(times) for times in zip(*(getattr(row, kind) for row in rows), strict=True)] for kind in CLOCKS]
    rows.insert(0, Row("whole", *sums, sum(row.gflop or 0 for row in rows)))
    for row in rows:
        row.facts["share of the time"] = f"{statistics.median(row.cpu) / statistics.median(rows[0].cpu):.0%}"
    title = f"{name}, beam {args.beam}, source {args.source}, target {args.target}, batch {args.batch}"
    return Table(title, "runs", 1, "whole", rows, peak, [needed(rows, peak)])


def needed(rows: Sequence[Row], peak: Mapping[str, Sequence[float]]) -> str:
    """What four fifths of the peak would take."""
    fastest = max(statistics.median(values) for values in peak.values())
    whole, products = rows[0], [row for row in rows[1:] if row.gflop]
    work = sum(row.gflop or 0 for row in products)
    time, at_peak = statistics.median(whole.cpu), work / fastest
    inside = sum(statistics.median(row.cpu) for row in products)
    room = at_peak / GOAL - at_peak
    return (
        f"The products alone would take {at_peak:.2f} s at the peak; they take {inside:.2f} s, all else "
        f"{time - inside:.2f} s. For {GOAL:.0%} of the peak, what is lost in products and all else together may take "
        f"{room:.2f} s instead of {time - at_peak:.2f} s."
    )


def parts_of(events: Any, args: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """The share of the time and the GFLOP of each part."""
    spent = {part: [0.0, 0.0] for part in PARTS}
    for event in events:
        part, work = part_of(event.key, event.input_shapes, args)
        spent[part][0] += event.self_cpu_time_total / 1e6
        spent[part][1] += event.count * work / 1e9
    whole = sum(seconds for seconds, _ in spent.values())
    return {part: (seconds / whole, work) for part, (seconds, work) in spent.items()}


def part_of(operation: str, shapes: Sequence[Any], args: argparse.Namespace) -> tuple[str, float]:
    """The part that an operation belongs to, and the operations of its matrix product."""
    rows, work = product(operation, shapes)
    if work:
        sizes = [size for shape in shapes if shape for size in shape]
        if args.vocabulary in sizes:
            return "vocabulary product", work
        return ("encoder products" if rows >= args.batch * args.source else "step products"), work
    if any(name in operation for name in ATTENTION):
        return "attention", 0.0
    if operation in BYTES:
        return "rows as bytes", 0.0
    if any(name in operation for name in ("gelu", "relu", "layer_norm")):
        return "activation, norms", 0.0
    if any(name in operation for name in SMALL):
        return "scores and search", 0.0
    if any(name in operation for name in ("copy", "cat", "index", "fill", "zero", "repeat", "clone")):
        return "copies", 0.0
    return "rest", 0.0


def product(operation: str, shapes: Sequence[Any]) -> tuple[int, float]:
    """Rows and operations of a matrix product `(..., in) x (out, in)` or `(in, out)`; zeros for what is none."""
    name = operation.rpartition("::")[2].lower()
    matrices = [shape for shape in shapes if len(shape) >= 2]
    inner = name in ("mm", "addmm") or (
        "linear" in name and not operation.startswith("aten::")
    )  # aten::linear calls it
    if not inner or len(matrices) < 2:
        return 0, 0.0
    x, weight = matrices[-2:] if name == "addmm" else matrices[:2]
    rows = math.prod(x[:-1])
    return rows, 2.0 * rows * math.prod(weight)
