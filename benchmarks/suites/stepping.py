"""A training step as a system: what the suites `train` and `pretrain` share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from measuring import Run, System, Table, gflop, in_process, peak_memory
from torch import Tensor, nn

from s2s.training.optim import OptimConfig, make_optimizer
from suites.decode import has_bfloat16

B = TypeVar("B")
PAD, CLS, SEP, MASK, FIRST_WORD = 0, 1, 2, 3, 4
PRECISIONS = ("float32", "bf16")


def add_options(parser: argparse.ArgumentParser) -> None:
    """What both suites have."""
    parser.add_argument("--vocabulary", type=int, default=30522)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=precisions(), help="of the products")


def precisions() -> list[str]:
    """bf16 too where the processor has it."""
    return list(PRECISIONS) if has_bfloat16() else ["float32"]


def steps(
    model: nn.Module, loss_of: Callable[[B], Tensor], batches: Sequence[B], args: argparse.Namespace, precision: str
) -> Run:
    """A step on each batch: forward, backward, clipping, AdamW. Gives the losses before the updates.

    Weights remain as they were (the learning rate is 0), so that every call does the same.
    """
    optimizer = make_optimizer(OptimConfig(), model.named_parameters())
    for group in optimizer.param_groups:
        group["lr"] = 0.0

    def step(batch: B) -> float:
        model.zero_grad(set_to_none=True)
        with torch.autocast(args.device, torch.bfloat16, precision == "bf16", cache_enabled=False):
            loss = loss_of(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return float(loss.detach())

    return lambda: [step(batch) for batch in batches]


def system(name: str, run: Run) -> System:
    """A system whose operations are counted."""
    run()  # allocates what remains between steps
    return System(name, in_process(run), gflop(run))


def note_memory(table: Table, runs: dict[str, Run], device: str) -> None:
    """Add the peak of tensors of a step, and its ratio to that of the base, to the facts of each row."""
    peaks = {name: peak_memory(run, device) for name, run in runs.items()}
    for row in table.rows:
        if row.system in peaks:
            row.facts["memory"] = f"{peaks[row.system]:.0f} MB, {peaks[row.system] / peaks[table.base]:.2f}"


def note_losses(table: Table, outputs: dict[str, Any], base: str, same: Sequence[str], tolerance: float) -> None:
    """Say which systems have the losses of one of them; those that must and have not stop the benchmark."""
    for row in table.rows:
        apart = max(abs(a / b - 1) for a, b in zip(outputs[row.system], outputs[base], strict=True))
        if row.system in same:
            assert apart < tolerance, f"{row.system}: its losses differ by {apart:.2g} from those of {base}"
        row.facts["losses"] = "the same" if apart < tolerance else f"{apart:.1%} apart" if apart < 0.05 else "others"
