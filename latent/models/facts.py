"""The sizes of a model that follow from the data of its task, and sizes that must fit each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from s2s.errors import ConfigError


def facts_of_task(config: Any, defaults: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The named options of a model that its configuration leaves to the task's `defaults`.

    Raises:
        ConfigError: neither gives one of them, or the two differ.
    """
    filled: dict[str, Any] = {}
    for name in names:
        given, wanted = getattr(config, name), defaults.get(name)
        if given == type(config).model_fields[name].default:
            if wanted is None:
                raise ConfigError(f"model.{name}: must be given, since the task does not give it")
            filled[name] = wanted
        elif wanted is not None and given != wanted:
            raise ConfigError(f"model.{name}: must be {wanted} as in the task's data, found {given}")
    return filled


def check_divisors(config: Any, **divisors: str) -> None:
    """Raise ConfigError unless each option, as `hidden_size="num_heads"`, is a multiple of the one it names."""
    for name, divisor in divisors.items():
        size, found = getattr(config, name), getattr(config, divisor)
        if size % found:
            raise ConfigError(f"model.{divisor}: must divide model.{name} ({size}), found {found}")
