"""Adapters in the files of the `peft` library: adapter_config.json and adapter_model.safetensors.

`PeftModel.from_pretrained(base, folder)` reads what is written here, and what it writes is read here, for LoRA without
variants (DoRA, rank-stabilized scales and the like).
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from s2s.checkpoint import read_tensors
from s2s.durable import writing
from s2s.errors import InputError, shown
from s2s.json_files import dump_json, read_object
from s2s.nn.adapters import AdapterSection, LowRank, adapters_of, some

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_KEY = re.compile(r"base_model\.model\.(.+)\.lora_([AB])(?:\.default)?\.weight")
_VARIANTS = ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern", "fan_in_fan_out", "modules_to_save")
"""Options of `peft` that change what the weights mean."""


def write_adapters(model: nn.Module, folder: Path, section: AdapterSection, base: str) -> None:
    """Write the adapters of a model.

    Args:
        model: An adapted one.
        section: Its options.
        base: Folder or name on the hub of the base, NAME@REVISION where it is known.

    Raises:
        InputError: the folder cannot be written.
    """
    adapters = adapters_of(model)
    name, _, revision = base.partition("@")
    config = {
        "peft_type": "LORA",
        "base_model_name_or_path": name,
        "revision": revision or None,
        "r": section.rank,
        "lora_alpha": int(section.alpha) if section.alpha == int(section.alpha) else section.alpha,
        "lora_dropout": section.dropout,
        "target_modules": sorted(adapters),
        "bias": "none",
        "inference_mode": True,
    }
    tensors = {}
    for part, adapter in adapters.items():
        for key, tensor in _matrices(adapter).items():
            tensors[f"{_PREFIX}{part}.lora_{key}.weight"] = tensor.detach().cpu().contiguous()
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).write_text(dump_json(config, indent=2) + "\n", encoding="utf-8")
        facts = {"format": "pt"} | ({} if section.base is None else {"base_sha256": section.base})
        try:
            save_file(tensors, folder / WEIGHTS, metadata=facts)
        except SafetensorError as error:
            raise InputError(f"{folder}: the adapters cannot be written: {error}") from error


def read_adapters(model: nn.Module, folder: Path, section: AdapterSection) -> None:
    """Load the adapters of a folder into a model that has adapters of the same matrices.

    Names may have another beginning: those of a model around ours, say.

    Raises:
        InputError: they are of another kind, base, rank or scale, or of other matrices.
    """
    config = read_object(folder / CONFIG)
    _check(config, folder, section)
    adapters = adapters_of(model)
    wanted = {(name, key): matrix for name, adapter in adapters.items() for key, matrix in _matrices(adapter).items()}
    found: dict[tuple[str, str], Tensor] = {}
    for name, tensor in read_tensors(folder / WEIGHTS).items():
        if match := _KEY.fullmatch(name):
            found[_known(match[1], adapters), match[2]] = tensor
    if missing := sorted({name for name, _ in wanted.keys() - found.keys()}):
        raise InputError(f"{folder}: has no adapter of {some(missing)}; see model.adapters.targets")
    if unknown := sorted({name for name, _ in found.keys() - wanted.keys()}):
        raise InputError(f"{folder}: also has adapters of {some(unknown)}; see model.adapters.targets")
    for place, matrix in wanted.items():
        if found[place].shape != matrix.shape:
            shapes = f"shape {tuple(found[place].shape)}, not {tuple(matrix.shape)}"
            raise InputError(f"{folder}: adapters of another base: lora_{place[1]} of {place[0]} has {shapes}")
        with torch.no_grad():
            matrix.copy_(found[place])


def _check(config: dict[str, object], folder: Path, section: AdapterSection) -> None:
    if config.get("peft_type") != "LORA":
        raise InputError(f"{folder / CONFIG}: peft_type must be LORA, found {shown(config.get('peft_type'))}")
    for option in _VARIANTS:
        if config.get(option):
            raise InputError(f"{folder / CONFIG}: {option} is not supported, found {shown(config[option])}")
    for theirs, ours in (("r", "rank"), ("lora_alpha", "alpha")):
        if config.get(theirs) != getattr(section, ours):
            wanted, found = getattr(section, ours), shown(config.get(theirs))
            raise InputError(f"{folder / CONFIG}: {theirs} must be {wanted:g} as model.adapters.{ours}, found {found}")
    try:
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            base = (file.metadata() or {}).get("base_sha256")
    except (SafetensorError, OSError):
        return  # reading its tensors says what is wrong
    if base and section.base and base != section.base:
        raise InputError(f"{folder}: adapters of another base: of weights {base[:12]}, not {section.base[:12]}")


def _known(name: str, adapters: dict[str, LowRank]) -> str:
    """Our name of a matrix: the one that its name ends in."""
    return next((own for own in adapters if name == own or name.endswith(f".{own}")), name)


def _matrices(adapter: LowRank) -> dict[str, nn.Parameter]:
    return {"A": adapter.down, "B": adapter.up}
