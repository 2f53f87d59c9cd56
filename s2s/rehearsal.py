"""A training looked at before it begins: sizes, lengths, what is cut, time and memory. Nothing is written."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from s2s.profiling import profiled
from s2s.progress import duration, magnitude
from s2s.ranks import Ranks, join_ranks
from s2s.run import build_task, build_trainer, resolve
from s2s.run_config import RunConfig
from s2s.run_folder import pinned
from s2s.training.data_loader import DataLoader
from s2s.training.trainer import Trainer

_TIMED = 3
"""Updates that are timed."""


def rehearse(config: RunConfig, run: str | Path, profile: Path | None = None) -> str:
    """Build the training of `run`, do some updates that are not kept, and report as lines of text.

    `profile` is a folder for a trace and a table of further updates, see `profiled`.

    Raises:
        InputError: as for the training itself.
    """
    with join_ranks(config.train.device) as ranks:
        config = pinned(config, Path(run))
        task = build_task(config)
        config = resolve(config, task.model_defaults())
        trainer = build_trainer(config, task, Path(run), ranks)
        seconds = trainer.time_updates(_TIMED)
        with profiled(profile):
            if profile is not None:
                trainer.time_updates(_TIMED)
        size = magnitude(sum(parameter.numel() for parameter in trainer.model.parameters()))
        lines = {
            "model": f"{config.model.name}, {size} parameters, {config.train.precision}",
            **{split: _examples(loader) for split, loader in trainer.loaders.items()},
            "an epoch": _epoch(trainer, config, ranks),
            "an update": f"{seconds:.3g} s, measured over {_TIMED} updates on {ranks}",
            "time": _time(trainer, config, seconds),
            "memory": _memory(ranks),
        }
    return "\n".join(f"{name:11} {text}" for name, text in lines.items())


def _examples(loader: DataLoader) -> str:
    dataset = loader.dataset
    blocks = np.asarray(dataset.lengths).reshape(len(dataset), -1)
    cut: dict[str, int] = getattr(dataset, "num_cut", {})
    names = list(cut) if len(cut) == blocks.shape[1] else [f"block {number + 1}" for number in range(blocks.shape[1])]
    parts = [f"{len(dataset):,} examples"]
    for name, column in zip(names, blocks.T, strict=True):
        half, most, longest = np.percentile(column, (50, 95, 100)).astype(int)
        share = f", {100 * cut[name] / len(dataset):.1f} % cut" if name in cut else ""
        parts.append(f"{name} {half} slots (median), {most} (95 %), {longest} (longest){share}")
    return "; ".join(parts)


def _epoch(trainer: Trainer, config: RunConfig, ranks: Ranks) -> str:
    loader = trainer.loaders["train"]
    updates = loader.num_updates(0, 0, config.train.accumulate)
    batches = f"{loader.num_batches:,} batches of at most {config.train.max_tokens:,} slots"
    share = f", {config.train.accumulate} on each of {ranks.size} ranks an update" if ranks.size > 1 else ""
    return f"{batches}{share}, {updates:,} updates; {100 * loader.padding:.0f} % of the slots are padding"


def _time(trainer: Trainer, config: RunConfig, seconds: float) -> str:
    epoch = trainer.loaders["train"].num_updates(0, 0, config.train.accumulate)
    if config.train.max_minutes is not None:
        whole = f"{config.train.max_minutes:g} min in all, about {60 * config.train.max_minutes / seconds:,.0f} updates"
    else:
        steps = trainer.total_steps(config.train)
        whole = f"{duration(seconds * steps)} for all {steps:,} updates"
    return f"{duration(seconds * epoch)} an epoch, {whole}; validation is not counted"


def _memory(ranks: Ranks) -> str:
    """The most that was in use, the largest batch included."""
    if ranks.device.type == "cuda":
        used, what = torch.cuda.max_memory_allocated(ranks.device), "of the GPU"
    else:
        try:
            import resource  # not on Windows
        except ImportError:
            return "not measured on this system"
        used, what = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, "of this process"
        used *= 1 if sys.platform == "darwin" else 1024
    return f"{used / 2**30:.2g} GiB {what}, measured with the largest batch"
