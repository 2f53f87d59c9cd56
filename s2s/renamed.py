"""Names that changed: the one in files of former versions, and the current one."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

logger = logging.getLogger(__name__)

OPTIONS = {
    "decoder.solver": {"ancestral": "ddpm"},
    "model.head.wave_period": "model.head.timestep_max_period",
    "model.head.wave_size": "model.head.timestep_size",
    "model.neighbour_bias": "model.neighbor_bias",
    "task.text_room": "task.fixed_text_length",
    "task.voice_rate": "task.voice_prompt_prob",
}
"""Configuration: a former key path and the new one, or a key path and its renamed values."""

FOUND_BY_NAME = ["latent.plugin"]
"""Modules that `imports:` once had to name; the registry finds their classes now."""

FACTS = {"spread": "latent_std", "text_room": "fixed_text_length"}
"""Keys of the JSON files that describe latents and the vocabulary of speech."""


def current_options(tree: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """A configuration with current names; logs each name that has changed, once."""
    current: dict[str, Any] = {}
    for key, value in tree.items():
        full = f"{path}{key}"
        new = OPTIONS.get(full)
        if full == "imports" and isinstance(value, list):
            current[key] = [module for module in value if module not in FOUND_BY_NAME]
        elif isinstance(new, str):
            _log(f"{full}: is called {new} now")
            current[new.rpartition(".")[2]] = value
        elif isinstance(value, Mapping):
            current[key] = current_options(value, f"{full}.")
        elif isinstance(new, dict) and isinstance(value, str) and value in new:
            _log(f"{full}: {value!r} is called {new[value]!r} now")
            current[key] = new[value]
        else:
            current[key] = value
    return current


def current_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The same for the mapping in a JSON file; logs nothing."""
    return {FACTS.get(key, key): value for key, value in facts.items()}


@lru_cache  # a run is read several times by one command
def _log(line: str) -> None:
    logger.info(line)
