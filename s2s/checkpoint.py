"""The run folder: what a training run writes, so that a crash at any instant leaves it whole.

    RUN/config.yaml              the resolved configuration
    RUN/model.safetensors        weights to decode with: the best of the validated ones, else the last
    RUN/data.json                fingerprints of the training data
    RUN/MODEL_CARD.md            what the run says about itself, if it has one
    RUN/...                      the tokenizer's files
    RUN/log.jsonl, tensorboard/, wandb/  losses and other measurements
    RUN/checkpoints/step-000120/ model.safetensors     weights to decode with (the running mean, if the run keeps one)
                                 training.safetensors  the other tensors of training, such as the optimizer's state
                                 progress.json         where training stands

No file is a pickle, so reading one never runs code.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from s2s.durable import beside, check_target, refuse_inputs
from s2s.errors import InputError, shown
from s2s.json_files import dump_json, inside, read_object
from s2s.precision import restored

CONFIG = "config.yaml"
WEIGHTS = "model.safetensors"
TRAINING = "training.safetensors"
PROGRESS = "progress.json"
DATA = "data.json"
MODEL_CARD = "MODEL_CARD.md"
CHECKPOINTS = "checkpoints"
_DAMAGED = (SafetensorError, OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError)
"""Errors of the library on damaged files, found by trying."""


def checkpoints(run: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    return sorted((run / CHECKPOINTS).glob("step-*[0-9]"), key=step_of)


def step_of(checkpoint: Path) -> int:
    """The number of updates that a checkpoint has seen."""
    return int(checkpoint.name.removeprefix("step-"))


def write_checkpoint(
    run: Path, step: int, weights: Mapping[str, Tensor], training: Mapping[str, Tensor], progress: dict[str, Any]
) -> Path:
    """Write the checkpoint of a step, whole or not at all; InputError if the disk is full, or refuses to be written."""
    final = run / CHECKPOINTS / f"step-{step:06d}"
    unfinished = final.with_name(f"{final.name}.unfinished")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        _write_tensors(weights, unfinished / WEIGHTS)
        _write_tensors(training, unfinished / TRAINING)
        (unfinished / PROGRESS).write_text(dump_json(progress, indent=1) + "\n", encoding="utf-8")
        _sync(unfinished / PROGRESS)
        _sync(unfinished)
        if final.exists():  # an earlier process of this run wrote the same
            _remove(final)
        unfinished.rename(final)
        _sync(final.parent)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        kept = [path.name for path in checkpoints(run)]
        raise InputError(
            f"{final}: the checkpoint cannot be written: {error.strerror}; "
            + (f"the last one kept is {kept[-1]}" if kept else "there is no earlier one")
        ) from error
    return final


def write_weights(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write a safetensors file, whole or not at all; InputError, and an old file stays, if it cannot be written."""
    check_target(path)
    unfinished = beside(path, "unfinished")  # a folder, because the library writes a temporary file of its own
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        _write_tensors(weights, unfinished / path.name)
        (unfinished / path.name).replace(path)
        _sync(path.parent)
    except OSError as error:
        raise InputError(f"{path}: the weights cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def remove_checkpoints(run: Path, keep: Iterable[int]) -> None:
    """Delete all checkpoints but those of the steps in `keep`."""
    kept = set(keep)
    for checkpoint in checkpoints(run):
        if step_of(checkpoint) not in kept:
            _remove(checkpoint)


def remove_leftovers(run: Path) -> None:
    """Delete the leftovers of a process that was killed while it wrote or deleted."""
    for pattern in ("*.unfinished", "checkpoints/*.unfinished", "checkpoints/*.removed"):
        for leftover in run.glob(pattern):
            if leftover.is_dir():
                shutil.rmtree(leftover)
            else:
                leftover.unlink()


def read_progress(checkpoint: Path) -> dict[str, Any]:
    """Where training stood at a checkpoint; InputError if the file is missing or broken."""
    try:
        return read_object(checkpoint / PROGRESS)
    except InputError as error:
        raise InputError(f"{error}; delete the folder {checkpoint.name} to continue from the one before") from error


def weight_files(folder: Path) -> dict[Path, list[str]]:
    """The files with the weights of a released checkpoint, and the tensors that each must hold according to its index.

    Without an index it is one file, model.safetensors or pytorch_model.bin, and the list is empty.

    Raises:
        InputError: there are none, or the index is broken or names files outside the folder.
    """
    for single in (WEIGHTS, "pytorch_model.bin"):
        index = folder / f"{single}.index.json"
        if (folder / single).is_file():
            return {folder / single: []}
        if index.is_file():
            weight_map = read_object(index).get("weight_map")
            if not isinstance(weight_map, dict) or not weight_map:
                raise InputError(f"{index}: expected a 'weight_map' from weights to files, found {shown(weight_map)}")
            files: dict[Path, list[str]] = {}
            for tensor, name in weight_map.items():
                files.setdefault(inside(folder, name, index), []).append(tensor)
            return dict(sorted(files.items()))
    raise InputError(f"{folder}: no weights; expected model.safetensors or pytorch_model.bin in it")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU; those of 8 bits as float32 (see `s2s.precision`).

    Raises:
        InputError: the file is missing, truncated, or not in the safetensors format; or a number in it is not finite.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is not a mapping
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file; expected weights in the safetensors format") from error
    except _DAMAGED as error:
        raise InputError(f"{path}: truncated, or not a safetensors file ({error})") from error
    check_finite(tensors, path)
    try:
        return restored(tensors)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def check_finite(tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Raise an InputError if a weight is NaN or infinite; takes 0.07 s for 100 million."""
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or not tensor.numel():
            continue
        numbers = tensor if tensor.dtype.itemsize > 1 else tensor.float()  # there is no kernel for 8 bits
        if not all(math.isfinite(bound) for bound in torch.aminmax(numbers)):
            raise InputError(f"{path}: damaged, {shown(name)} holds NaN or infinity")


def named_tensors(module: nn.Module) -> dict[str, Tensor]:
    """The parameters and saved buffers of a module, not copied, each tied tensor once, under its first name.

    Those that come from elsewhere at every start are left out: the names in its attribute `from_base`, if it has one.
    """
    unique: dict[int, tuple[str, Tensor]] = {}
    from_base: frozenset[str] = getattr(module, "from_base", frozenset())
    for name, tensor in module.state_dict(keep_vars=True).items():
        if name not in from_base:
            unique.setdefault(id(tensor), (name, tensor))
    return dict(unique.values())


def load_weights(module: nn.Module, path: Path) -> None:
    """Load the weights of a file, which must hold exactly the module's tensors; errors as for `check_fit`."""
    tensors, wanted = read_tensors(path), named_tensors(module)
    check_fit(path, tensors, wanted)
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(tensors[name])


def check_fit(
    path: str | Path, tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], may_lack: Collection[str] = ()
) -> None:
    """Check that the tensors of the file `path` have the names, shapes and kinds of numbers of the `wanted` ones.

    Names in `may_lack` may be missing.

    Raises:
        InputError: names what is missing, what is unknown, and what has another shape or type.
    """
    problems = []
    if missing := sorted(wanted.keys() - tensors.keys() - set(may_lack)):
        problems.append(f"lacks {_some(missing)}")
    if unknown := sorted(tensors.keys() - wanted.keys()):
        problems.append(f"also holds {_some(unknown)}")
    differ = []
    for name in wanted.keys() & tensors.keys():
        found, expected = tensors[name], wanted[name]
        if found.shape != expected.shape:
            differ.append(f"{name} has shape {tuple(found.shape)}, not {tuple(expected.shape)}")
        elif found.is_floating_point() != expected.is_floating_point():
            differ.append(f"{name} has the type {found.dtype}, not {expected.dtype}")
    if differ:
        problems.append(min(differ) + (f", and {len(differ) - 1} more differ" if len(differ) > 1 else ""))
    if problems:
        raise InputError(f"{path}: does not fit this model: {'; '.join(problems)}")


def weights_path(run: Path, checkpoint: str | Path | None = None) -> Path:
    """The weights of a run to decode with, or those of a checkpoint; InputError if there are none.

    A checkpoint is a step ("120", "step-000120"), a checkpoint's folder, or a safetensors file.
    """
    known = ", ".join(path.name for path in checkpoints(run)) or "none"
    if checkpoint is None:
        path = run / WEIGHTS
        problem = f"{run}: holds no {WEIGHTS}, a run writes it at its first validation; checkpoints: {known}"
    else:
        text = str(checkpoint).removeprefix("step-")
        is_step = text.isdecimal() and len(text) < 20
        path = run / CHECKPOINTS / f"step-{int(text):06d}" if is_step else Path(checkpoint)
        path = path / WEIGHTS if path.is_dir() else path
        problem = f"{checkpoint}: there is no such checkpoint; {run} has {known}"
    if not path.exists():
        raise InputError(problem)
    return path


def refuse_run(folder: Path) -> None:
    """Raise InputError for a run folder, where what is written would replace its weights or its tokenizer."""
    if (folder / CONFIG).exists():
        raise InputError(f"{folder}: is a run folder, whose files would be replaced; choose another folder")


def average_checkpoints(paths: Sequence[str | Path], out: str | Path) -> None:
    """Write the mean of the weights of several checkpoints, computed in float64, as a safetensors file.

    Args:
        paths: Checkpoint folders, run folders, or safetensors files of one architecture.
        out: The file to write.

    Raises:
        InputError: a file cannot be read or written, or they differ in names, shapes, or kinds of numbers.
    """
    if not paths:
        raise InputError("no checkpoint to average was given; expected at least one folder or safetensors file")
    check_target(Path(out))
    files = [Path(path) / WEIGHTS if Path(path).is_dir() else Path(path) for path in paths]
    refuse_inputs(out, files)
    first = read_tensors(files[0])
    total = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in first.items()}
    for file in files[1:]:
        tensors = read_tensors(file)
        found, expected = (
            {(name, tensor.shape, tensor.is_floating_point()) for name, tensor in group.items()}
            for group in (tensors, first)
        )
        if different := sorted({name for name, *_ in found ^ expected}):
            raise InputError(f"{file}: cannot be averaged with {files[0]}: they differ in {_some(different)}")
        total = {name: sum_ + tensors[name] if sum_.is_floating_point() else sum_ for name, sum_ in total.items()}
    mean = {name: sum_ / len(files) if sum_.is_floating_point() else sum_ for name, sum_ in total.items()}
    write_weights({name: tensor.to(first[name].dtype) for name, tensor in mean.items()}, Path(out))


def _remove(checkpoint: Path) -> None:
    """Delete a checkpoint; it is renamed first, so that no half of it looks like one."""
    removed = checkpoint.with_name(f"{checkpoint.name}.removed")
    shutil.rmtree(removed, ignore_errors=True)
    checkpoint.rename(removed)
    shutil.rmtree(removed)


def _write_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        save_file(contiguous, path, metadata={"format": "pt"})
    except SafetensorError as error:  # a full disk is reported as "...: I/O error: No space left ..."
        raise OSError(None, str(error).rpartition("I/O error: ")[2]) from error
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)  # the library lets only the owner read them
    _sync(path)


def _sync(path: Path) -> None:
    """Wait until a file, or a folder's list of files, is on the disk. Windows syncs writable files alone."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
