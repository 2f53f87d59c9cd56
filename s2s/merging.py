"""A run of adapters as a run of its own: the adapters in the weights of their base."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

from s2s import checkpoint
from s2s.config import write_tree
from s2s.durable import writing
from s2s.errors import InputError
from s2s.hub import find_run
from s2s.models.adapted import FOLDER, adapters_in
from s2s.run import build_model, load_weights, read_run
from s2s.training.loggers import LOG

_OF_TRAINING = (checkpoint.CHECKPOINTS, "tensorboard", "wandb", FOLDER, LOG, checkpoint.DATA)
"""What is left behind: it describes the training of the adapters."""
_WRITTEN = (checkpoint.CONFIG, checkpoint.WEIGHTS)


def merge_run(run: str | Path, output: Path, checkpoint_name: str | None = None) -> None:
    """Write a run folder that needs neither adapters nor base, and computes what the two compute.

    Args:
        run: A run folder of adapters.
        output: The folder to write; it must not be a run folder.
        checkpoint_name: A step or a file (see `s2s.checkpoint.weights_path`); the best weights by default.

    Raises:
        InputError: the run has no adapters, or they change nothing; or their base is missing or another one.
    """
    run = find_run(run)
    checkpoint.refuse_run(output)
    config = read_run(run)
    refuse_without_adapters(config.model.config, run)
    model = build_model(config)
    load_weights(model, run, checkpoint_name)
    tree = config.tree()
    tree["task"].pop("tokenizer", None)  # the folder holds it
    tree["model"] |= {"init": None, "adapters": None}
    with writing(output):
        copy_parts(run, output, {*_OF_TRAINING, *_WRITTEN})
        checkpoint.write_weights(checkpoint.named_tensors(model), output / checkpoint.WEIGHTS)
        write_tree(tree, output / checkpoint.CONFIG)  # last, so an incomplete folder is not taken for a run


def refuse_without_adapters(config: object, run: Path) -> None:
    """Raise an InputError if a run has no adapters to merge."""
    if adapters_in(config) is None:  # type: ignore[arg-type]
        raise InputError(f"{run}: has no adapters to merge; its weights are whole")


def copy_parts(folder: Path, output: Path, left_out: Collection[str]) -> None:
    """Copy files and folders that are neither hidden nor in `left_out`."""
    output.mkdir(parents=True, exist_ok=True)
    for part in folder.iterdir():
        if part.name in left_out or part.name.startswith("."):
            continue
        if part.is_dir():
            shutil.copytree(part, output / part.name, dirs_exist_ok=True)
        else:
            shutil.copyfile(part, output / part.name)
