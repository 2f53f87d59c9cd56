"""The run folder of a training: which run it holds, the fingerprints of its data, how a start makes and unmakes it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from s2s import checkpoint, hub
from s2s.config import read_tree, section_of, write_tree
from s2s.durable import flatten, with_fingerprints, write_whole, writing
from s2s.errors import ConfigError, InputError
from s2s.json_files import dump_json, read_object
from s2s.ranks import Ranks
from s2s.registry import refuse_untrusted
from s2s.renamed import current_options
from s2s.run_config import Part, RunConfig, parse_config
from s2s.tasks.base import Task
from s2s.training.metrics import LOSS

MAY_CHANGE = (
    "decoder",
    "train.accumulate",
    "train.device",
    "train.keep_best",
    "train.keep_last",
    "train.log_every",
    "train.loggers",
    "train.parallel",
    "train.workers",
)
"""Keys that may change when a run is resumed: none of them changes its result, but the decoder may choose the best."""
MAY_GROW = ("train.max_steps", "train.epochs")


def parse_saved(tree: Mapping[str, Any], run: Path, tokenizer: str | None = None) -> RunConfig:
    """The configuration in a run folder; its errors name the folder."""
    try:
        return parse_config(tree, tokenizer)
    except ConfigError as error:
        raise ConfigError(f"{run}: {error}") from error


def saved_tree(run: Path) -> dict[str, Any]:
    """The sections of a run folder, which may come from anybody: its `imports:` must be trusted."""
    tree = current_options(read_tree(run / checkpoint.CONFIG))
    refuse_untrusted(tree.get("imports"), hub.repository_of(run) or run / checkpoint.CONFIG)
    return tree


def pinned(config: RunConfig, run: Path) -> RunConfig:
    """The configuration with models on the hub at the commit that the run has recorded, or else the latest one."""
    saved = saved_tree(run) if (run / checkpoint.CONFIG).exists() else {}
    model, task, criterion = (  # a tokenizer that comes with the model is not what the user named
        Part(part.name, hub.pin(part.config, section_of(saved, kind, run), kind))
        for kind, part in (("model", config.model), ("task", config.task), ("criterion", config.criterion))
    )
    return replace(config, task=task, model=model, criterion=criterion)


def former_config(config: RunConfig, run: Path) -> RunConfig | None:
    """The configuration of the run in the folder, if any; it may differ only in `MAY_CHANGE` and `MAY_GROW`."""
    path = run / checkpoint.CONFIG
    found = checkpoint.checkpoints(run)
    if found and not path.exists():
        raise InputError(f"{run}: holds checkpoints but no {checkpoint.CONFIG}; choose another folder")
    if not found and not (run / checkpoint.WEIGHTS).exists():
        return None  # nothing, or a run that ended before its first checkpoint and has nothing to lose
    former = parse_saved(saved_tree(run), run)
    before, now = flatten(former.tree()), flatten(config.tree())
    may_change = MAY_CHANGE if config.train.keep_best_by == LOSS else MAY_CHANGE[1:]
    changed = [
        f"{key} was {before.get(key)!r}, is now {now.get(key)!r}"
        for key in [*before, *(key for key in now if key not in before)]
        if before.get(key) != now.get(key) and not key.startswith(may_change)
        if not (key in MAY_GROW and (before.get(key) or math.inf) < (now.get(key) or 0))
    ]
    if changed:
        raise ConfigError(
            f"{run}: holds a run of another configuration: {'; '.join(changed)}; undo this to continue that run, or "
            f"choose another folder, with model.init={run} to start from its weights"
        )
    return former


def fingerprint_data(inputs: Sequence[Path], run: Path, ranks: Ranks, trained: bool) -> dict[str, Any]:
    """The content of `data.json`, for files and folders; refuse those that changed since the run was `trained`."""
    now: dict[str, Any] = {}
    with ranks.together():
        if ranks.first:
            path = run / checkpoint.DATA
            before = read_object(path) if path.exists() else {}
            now = with_fingerprints({str(file): file for given in inputs for file in _files_in(given)}, before)
            known, found = flatten(before), flatten(now)
            for name in [*known, *found] if before and trained else []:
                if known.get(name) != found.get(name):
                    change = "is new" if name not in known else "has changed" if name in found else "is missing"
                    raise InputError(
                        f"{name}: {change} since {run} began to train on it; restore the data, or choose another "
                        "folder (model.init=RUN starts from its weights)"
                    )
    return now


@contextlib.contextmanager
def undone_unless(begun: Callable[[], bool], run: Path) -> Iterator[None]:
    """A block that starts a training; if it fails before the training has `begun`, the files that it made are removed.

    Files that were in the folder before stay, and so does the lock, which its holder removes.
    """
    before = set(run.rglob("*"))
    try:
        yield
    except BaseException:
        if not begun():
            for path in sorted(set(run.rglob("*")) - before, reverse=True):  # what is in a folder comes before it
                with contextlib.suppress(OSError):
                    path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        raise


def prepare_folder(config: RunConfig, task: Task, data: dict[str, Any], run: Path, ranks: Ranks) -> None:
    """Write all that a run folder holds beside weights and logs, with the `data` of `fingerprint_data`."""
    with ranks.together():
        if ranks.first:
            with writing(run):
                checkpoint.remove_leftovers(run)
                task.save(run)
                write_whole(run / checkpoint.DATA, dump_json(data, indent=1).encode() + b"\n")
                unfinished = run / f"{checkpoint.CONFIG}.unfinished"
                write_tree(config.tree(), unfinished)
                unfinished.replace(run / checkpoint.CONFIG)


def _files_in(given: Path) -> list[Path]:
    """The file itself, or the files in a folder that are not hidden."""
    if given.is_file():
        return [given]
    return sorted(file for file in given.rglob("*") if file.is_file() and not file.name.startswith("."))
