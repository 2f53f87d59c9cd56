#!/usr/bin/env python
"""Draw the loss curves of pretraining and of the fine-tuning that followed, side by side.

python scripts/pretraining_curves.py PICTURE.png NAME=PRETRAINING_RUN:FINE_TUNING_RUN...

The pretraining run is optional (`random=:runs/random`).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from s2s.data.jsonl import read_records

LOSSES = {"autoencoding": "-", "partially_autoregressive": "--"}


def main(picture: str, runs: list[str]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (before, after) = pyplot.subplots(1, 2, figsize=(10, 4.2), dpi=150, layout="constrained")
    for number, (name, _, folders) in enumerate(run.partition("=") for run in runs):
        pretraining, _, fine_tuning = folders.partition(":")
        color = f"C{number}"
        for loss, style in LOSSES.items() if pretraining else ():
            draw(before, records(pretraining), loss, color, style, f"{name}, {loss.replace('_', ' ')}")
        draw(after, records(fine_tuning), "loss", color, "-", name)
    before.set(xlabel="update", ylabel="nats per masked token", title="Pretraining (dots: validation)")
    after.set(xlabel="update", ylabel="loss per target token", title="Fine-tuning on debian-synopsis")
    for axes in (before, after):
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(picture)


def records(run: str) -> list[dict[str, Any]]:
    return [record for _, record in read_records(Path(run) / "log.jsonl")]


def draw(axes: Any, found: list[dict[str, Any]], loss: str, color: str, style: str, label: str) -> None:
    for split, look in {"train": {"linestyle": style, "alpha": 0.6}, "valid": {"linestyle": "", "marker": "o"}}.items():
        points = [(record["step"], record[loss]) for record in found if record.get("split") == split and loss in record]
        if points:
            axes.plot(*zip(*points, strict=True), color=color, label=label if split == "train" else None, **look)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
