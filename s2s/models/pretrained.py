"""Reading checkpoints: sizes and weights of public models, of original UniLM files and of our own runs.

A checkpoint is a folder (config.json and model.safetensors, its shards, or pytorch_model.bin), a single .bin or
.safetensors file with its configuration beside it, a run folder, or the name of a model on the Hugging Face hub.
"""

from __future__ import annotations

import logging
import pickle
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from s2s import shipped
from s2s.checkpoint import CONFIG, check_finite, read_tensors, weight_files, weights_path
from s2s.config import read_tree, section_of
from s2s.errors import InputError, reason_of, shown
from s2s.hub import fetch, is_hub_name
from s2s.json_files import read_object
from s2s.models.families import SETTLED, family_of, sizes_of
from s2s.models.keymaps import fold_segment_row, into_bert_names, to_bert_names

logger = logging.getLogger(__name__)

_BESIDE_WEIGHTS = ("config.json", CONFIG, "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json")
"""What is downloaded with weights: released VibeVoices name or hold their text tokenizer."""
_DAMAGED = (
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    struct.error,
)
"""Errors of `torch.load` on damaged files, besides `UnpicklingError`, found by trying."""
_ENCODER_OF = {"unilm": "", "electra": "discriminator."}
"""Models of runs to start from, and the prefix of the weights that are a `UniLM`."""


def read_sizes(checkpoint: str) -> dict[str, Any]:
    """The sizes of a checkpoint under the names of `UniLM.Config`; errors as for `read_weights`."""
    path = locate(checkpoint)
    if (path / CONFIG).is_file():
        model = section_of(read_tree(path / CONFIG), "model", path / CONFIG)
        if model.get("name") not in _ENCODER_OF:
            raise InputError(f"{path / CONFIG}: model.name must be unilm, found {shown(model.get('name'))}")
        return {key: value for key, value in model.items() if key in SETTLED}
    file = _config_file(path)
    return sizes_of(read_object(file), file)


def read_weights(checkpoint: str) -> dict[str, Tensor]:
    """The tensors of a checkpoint under BERT's names, floating ones as float32.

    Raises:
        InputError: the checkpoint does not exist, is damaged, or is not of a supported family.
    """
    path = locate(checkpoint)
    if (path / CONFIG).is_file():
        return into_bert_names(_as_float(_encoder(path)))
    config_file = _config_file(path)
    family = family_of(read_object(config_file), config_file)
    return to_bert_names(fold_segment_row(_as_float(read_state(path))), family)


def _encoder(run: Path) -> dict[str, Tensor]:
    """The tensors in a run folder that are those of a `UniLM`."""
    prefix = _ENCODER_OF.get(section_of(read_tree(run / CONFIG), "model", run / CONFIG).get("name", ""), "")
    tensors = read_tensors(whole_weights(run))
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def whole_weights(run: Path) -> Path:
    """The weights of a run folder; raises InputError if they are adapters alone."""
    if section_of(read_tree(run / CONFIG), "model", run / CONFIG).get("adapters") is not None:
        raise InputError(f"{run}: holds adapters without their base; join them: unilatent merge {run} --output FOLDER")
    return weights_path(run)


def locate(checkpoint: str) -> Path:
    """The local folder or file of a checkpoint; a model on the hub is downloaded."""
    path = shipped.run_folder(Path(checkpoint).expanduser())
    if path.exists():
        return path
    if not is_hub_name(checkpoint):
        raise InputError(f"{checkpoint}: no such file or folder; expected a checkpoint")
    folder = fetch(checkpoint, [*_BESIDE_WEIGHTS, "model*.safetensors*"])
    if not any(folder.glob("model*.safetensors*")):
        folder = fetch(checkpoint, [*_BESIDE_WEIGHTS, "pytorch_model*.bin*"])
    return folder


def files_of(checkpoint: str) -> list[Path]:
    """The files with the weights of a checkpoint, a run among them; InputError if there are none."""
    path = locate(checkpoint)
    if path.is_file():
        return [path]
    return [whole_weights(path)] if (path / CONFIG).is_file() else list(weight_files(path))


def resize_positions(table: Tensor, rows: int) -> Tensor:
    """A position table of another length: cut, or repeated from row 0 on, which keeps neighborhoods intact (s2s-ft)."""
    return table[torch.arange(rows) % len(table)]


def resize_segments(table: Tensor, rows: int) -> Tensor:
    """A segment table of another length: rows 5 and 6 start as row 1, other new ones as row 0.

    Source: UniLM v1, whose six rows are two for BERT's segments, left-to-right, right-to-left, source and target.
    """
    origins = [row if row < len(table) else min(len(table) - 1, 1 if row in (5, 6) else 0) for row in range(rows)]
    return table[origins]


def _config_file(path: Path) -> Path:
    if path.is_dir():
        places = [path / "config.json"]
    else:
        places = [path.with_name(name) for name in (f"{path.stem}-config.json", f"{path.stem}.json", "config.json")]
    for place in places:
        if place.is_file():
            return place
    raise InputError(f"{path}: no configuration; expected {' or '.join(place.name for place in places)} with it")


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a released checkpoint, a folder or one file, under its own names; errors as for `read_weights`."""
    tensors: dict[str, Tensor] = {}
    for file, expected in ({path: []} if path.is_file() else weight_files(path)).items():
        found = read_tensors(file) if file.suffix == ".safetensors" else read_pickle(file, file)
        missing = [name for name in expected if name not in found]
        if missing:
            raise InputError(f"{file}: lacks {len(missing)} tensors that the index puts there, {missing[0]!r} first")
        tensors |= found
    return tensors


def _as_float(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def read_pickle(file: Path | BinaryIO, where: str | Path) -> dict[str, Tensor]:
    """The tensors of a PyTorch file, whose code never runs; InputError, with `where`, if it holds anything else."""
    try:
        tensors = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(f"{where}: must be a pickle of plain tensors; it holds other objects or is damaged") from error
    except _DAMAGED as error:
        raise InputError(f"{where}: not a complete PyTorch file: {reason_of(error)}") from error
    if isinstance(tensors, dict) and tensors.keys() == {"model"}:  # as BEiT-3's are published
        tensors = tensors["model"]
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise InputError(f"{where}: must hold tensors by name and nothing else")
    check_finite(tensors, where)
    return tensors
