"""A picture of how runs learned: training and validation loss by step, from their log.jsonl."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from s2s.data.files import read_lines
from s2s.data.jsonl import parse_record
from s2s.data.text_metrics import TEXT_METRICS
from s2s.durable import check_target
from s2s.errors import InputError
from s2s.json_files import describe
from s2s.packages import load
from s2s.training.metrics import FACTS

_SPLITS = ("train", "valid")
_NO_LOSS = {*FACTS, *TEXT_METRICS}

Points = tuple[list[float], list[float]]


def plot_learning_curves(runs: dict[str, str], output: str) -> None:
    """Draw the losses of one or more runs into one picture.

    Args:
        runs: Run folder (or its log.jsonl) by its name in the legend.
        output: The picture; its suffix gives the format (.png, .pdf, .svg).

    Raises:
        InputError: a run has no log or no losses in it; the picture cannot be written; matplotlib is missing.
    """
    check_target(Path(output))
    curves = {
        f"{name} {loss}".removesuffix(" loss"): points
        for name, run in runs.items()
        for loss, points in _losses(Path(run)).items()
    }
    load("matplotlib", "plot").use("Agg")
    pyplot = load("matplotlib.pyplot", "plot")
    figure, axes = pyplot.subplots(figsize=(7.0, 4.2), dpi=150, layout="constrained")
    for number, (name, (training, validation)) in enumerate(curves.items()):
        color = f"C{number % 10}"
        axes.plot(*training, color=color, alpha=0.45, linewidth=1, label=f"{name}, training")
        if validation[0]:
            axes.plot(*validation, color=color, marker="o", markersize=4, label=f"{name}, validation")
    axes.set(xlabel="update", ylabel="loss")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    try:
        figure.savefig(output)
    except (OSError, ValueError) as error:
        raise InputError(f"--output: cannot write the picture {output}: {error}") from error
    finally:
        pyplot.close(figure)


def _losses(run: Path) -> dict[str, tuple[Points, Points]]:
    """`(steps, values)` of training and of validation, by the name of the loss: `loss`, or those of several parts."""
    path = run if run.suffix == ".jsonl" else run / "log.jsonl"
    found: dict[str, tuple[Points, Points]] = {}
    lines = list(read_lines(path))
    if not lines:
        raise InputError(f"{path}: the file is empty; expected the log of a run")
    for line in lines:
        try:
            record = parse_record(line)
        except InputError:
            if line is lines[-1]:  # cut off when the run was killed, or just being written
                break
            raise
        split = record.get("split")
        if split == "samples":
            continue
        if split not in _SPLITS:
            raise InputError(f"{line.where}: 'split' must be 'train' or 'valid', found {describe(split)}")
        for name in [key for key in record if key not in _NO_LOSS and not key.endswith("accuracy")] or ["loss"]:
            points = found.setdefault(name, (([], []), ([], [])))[_SPLITS.index(split)]
            for values, field in zip(points, ("step", name), strict=True):
                values.append(_number(record, field, line.where))
    if not any(training[0] for training, _ in found.values()):
        raise InputError(f"{path}: no training loss in it; expected the log of a run")
    return found


def _number(record: dict[str, Any], field: str, where: str) -> float:
    value = record.get(field)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(f"{where}: {field!r} must be a number, found {describe(value)}")
    return float(value)
