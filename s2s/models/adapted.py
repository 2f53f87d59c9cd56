"""Models with adapters: the base that they stand on, and what a run leaves for other libraries."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any, TypeVar

from s2s.config import Section
from s2s.durable import fingerprint
from s2s.errors import ConfigError, InputError
from s2s.models.base import Model
from s2s.models.peft_files import read_adapters, write_adapters
from s2s.models.pretrained import files_of
from s2s.nn.adapters import AdapterSection, adapt, refuse_without_effect, relative_changes

logger = logging.getLogger(__name__)

S = TypeVar("S", bound=Section)

FOLDER = "lora"
"""Folder in a run with the adapters in the layout of `peft`, where programs for VibeVoice look for it too."""


def adapters_in(config: Section) -> AdapterSection | None:
    """The options of adapters in the section of a model, if it has any."""
    section: AdapterSection | None = getattr(config, "adapters", None)
    return section


def with_base(config: S) -> S:
    """The section of a model with the hash of its base, if it has adapters.

    Raises:
        ConfigError: it names no base.
    """
    section = adapters_in(config)
    if section is None:
        return config
    found = weights_hash(_base(config))
    return config.model_copy(update={"adapters": section.model_copy(update={"base": found})})


def weights_hash(checkpoint: str) -> str:
    """SHA-256 of the weights of a checkpoint: of its file, or of the hashes of its files one after the other."""
    hashes = [str(fingerprint(file)["sha256"]) for file in files_of(checkpoint)]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def start_from_base(model: Model) -> None:
    """Load the base of a fresh model and put its adapters, if it has any, around it.

    Raises:
        InputError: the base is not the one that the adapters were trained on, or cannot be read.
    """
    config: Any = model.config
    section = adapters_in(config)
    if section is not None and section.base is not None and (found := weights_hash(_base(config))) != section.base:
        raise InputError(
            f"model.init: {config.init}: is not the base of these adapters: "
            f"its hash is {found[:8]}, not {section.base[:8]}"
        )
    model.initialize()
    if section is not None:
        adapt(model, model.matrices(), section)
        if section.init is not None:
            read_adapters(model, Path(section.init), section)


def leave_adapters(model: Model, run: Path) -> None:
    """Write the adapters of a trained model into `FOLDER` of its run.

    Raises:
        InputError: an adapter changes nothing.
    """
    config: Any = model.config
    section = adapters_in(config)
    if section is None:
        return
    changes = relative_changes(model)
    refuse_without_effect(changes)
    low, high = min(changes, key=changes.__getitem__), max(changes, key=changes.__getitem__)
    extremes = f"from {changes[low]:.2g} ({low}) to {changes[high]:.2g} ({high})"
    logger.info(f"adapters: {len(changes)} matrices changed, relative to their norm {extremes}")
    write_adapters(model, run / FOLDER, section, config.init)
    model.export_parts(run / FOLDER)


def _base(config: Any) -> str:
    if config.init is None:
        raise ConfigError("model.adapters: needs model.init, the checkpoint that they change")
    return str(config.init)
