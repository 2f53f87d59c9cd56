"""A checkpoint that fairseq has trained with our plugin (`s2s/fairseq_plugin`), as a run."""

from __future__ import annotations

import argparse
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from s2s import checkpoint
from s2s.config import options_in, write_tree
from s2s.durable import writing
from s2s.errors import InputError, shown
from s2s.json_files import parse_object
from s2s.run import build_model, build_task
from s2s.run_folder import parse_saved

PLUGIN = "unilatent"
"""The name of our task, model and criterion in fairseq."""
_PREFIX = "unilm."
_SIGN = b"optimizer_history"
_EXPECTED = "expected a checkpoint of fairseq"


def looks_like_fairseq(path: Path) -> bool:
    """Whether a file is a checkpoint of fairseq, by the names in it; nothing is loaded."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            return bool(names) and _SIGN in archive.read(names[0])
    except (OSError, zipfile.BadZipFile, zipfile.LargeZipFile, RuntimeError, ValueError, EOFError):
        return False


def convert_checkpoint(path: Path, output: Path, tokenizer: str | None = None) -> None:
    """Write a run folder with the weights and options of a checkpoint.

    Args:
        path: A file such as checkpoint_best.pt. Code in it is refused, never run.
        output: The folder to write; it must not be a run folder.
        tokenizer: Where the tokenizer is now, if it has moved.

    Raises:
        InputError: the file is damaged, holds another model, or its tokenizer cannot be read.
    """
    checkpoint.refuse_run(output)
    stored = _read(path)
    tree = {**_tree(stored["cfg"], path, tokenizer), "train": {"max_steps": _updates(stored)}}
    config = parse_saved(tree, path)
    task, model = build_task(config), build_model(config)
    weights = {name.removeprefix(_PREFIX): tensor for name, tensor in stored["model"].items() if _of_model(name)}
    wanted = checkpoint.named_tensors(model)
    checkpoint.check_fit(path, weights, wanted)
    checkpoint.check_finite(weights, path)
    tree = config.tree()
    tree["task"].pop("tokenizer")  # the folder holds it
    with writing(output):
        output.mkdir(parents=True, exist_ok=True)
        task.save(output)
        named = {name: weights[name].to(tensor.dtype) for name, tensor in wanted.items()}
        checkpoint.write_weights(named, output / checkpoint.WEIGHTS)
        write_tree(tree, output / checkpoint.CONFIG)  # last, so an incomplete folder is not taken for a run


def _of_model(name: str) -> bool:
    return name.startswith(_PREFIX)


def _read(path: Path) -> dict[str, Any]:
    """The content of a checkpoint: "cfg", a mapping of sections, and "model", tensors by name."""
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # options of fairseq's older classes
            stored = torch.load(path, map_location="cpu", weights_only=True)
        _check(stored)
    except pickle.UnpicklingError as error:
        found = re.search(r"(?:GLOBAL|global|class) ([\w.]+)", str(error))
        code = f", found code: {found[1]}, which was not run" if found else ""
        raise InputError(f"{path}: {_EXPECTED}{code}") from error
    except (OSError, RuntimeError, LookupError, TypeError, ValueError, AttributeError, EOFError) as error:
        raise InputError(f"{path}: {_EXPECTED}; it is truncated, or of another kind") from error
    return stored  # type: ignore[no-any-return]


def _updates(stored: Mapping[str, Any]) -> int:
    """The number of updates that a checkpoint has seen; 1 if it does not say."""
    history = stored.get("optimizer_history")
    last = history[-1] if isinstance(history, list) and history else None
    count = last.get("num_updates") if isinstance(last, dict) else None
    return max(count, 1) if isinstance(count, int) else 1


def _check(stored: Any) -> None:
    """Raise a TypeError or LookupError for content of another kind."""
    if not isinstance(stored["cfg"], dict) or not all(isinstance(one, Tensor) for one in stored["model"].values()):
        raise TypeError


def _tree(sections: Mapping[str, Any], path: Path, tokenizer: str | None) -> dict[str, Any]:
    """The sections of a configuration, from those of fairseq; InputError if they are not of our plugin."""
    found = {name: sections.get(name) for name in ("task", "model", "criterion")}
    for name, section in found.items():
        kind = section.get("_name") if isinstance(section, dict) else section
        if kind != PLUGIN:
            raise InputError(f"{path}: expected {name} {PLUGIN!r}, which our plugin trains, found {shown(kind)}")
    texts = {
        name: section.get(key, "")
        for (name, section), key in zip(found.items(), ("seq2seq", "sizes", "cross_entropy"), strict=True)
        if isinstance(section, dict)
    }
    if not all(isinstance(text, str) for text in texts.values()):
        raise InputError(f"{path}: {_EXPECTED} whose options are texts, found {shown(texts)}")
    task = options_in(texts["task"], f"{path}: --seq2seq")
    return {
        "task": {**task, "name": "seq2seq", **({"tokenizer": tokenizer} if tokenizer else {})},
        "model": {**parse_object(texts["model"], f"{path}: sizes"), "name": "unilm", "init": None, "like": None},
        "criterion": {**options_in(texts["criterion"], f"{path}: --cross-entropy"), "name": "cross_entropy"},
    }
