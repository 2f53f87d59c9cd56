"""Whether a model fits into the memory of this machine, before it is built."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from s2s.config import Section
from s2s.errors import ConfigError
from s2s.models.base import Model

_TOO_MANY = 1 << 63


def check_memory(cls: type[Model], section: Section) -> None:
    """Raise a ConfigError, with the largest size, if the weights of a model do not fit into memory."""
    needed, available = _bytes(cls, section), _memory()
    if needed > available:
        size, name = max(_sizes(section, "model"))
        amount = f"{needed / 1e9:,.0f} GB" if needed < _TOO_MANY else f"more than {_TOO_MANY / 1e18:.0f} EB"
        raise ConfigError(
            f"{name}: {size} makes weights that take {amount} of memory; this machine has {available / 1e9:,.0f} GB"
        )


def _memory() -> float:
    """The bytes of memory of this machine; infinity on Windows, which does not say."""
    facts = getattr(os, "sysconf", lambda name: math.inf)
    return float(facts("SC_PAGE_SIZE") * facts("SC_PHYS_PAGES"))


def _bytes(cls: type[Model], section: Section) -> int:
    try:
        with torch.device("meta"), _Undrawn():  # shapes alone
            return sum(weight.numel() * weight.element_size() for weight in cls(section).parameters())
    except RuntimeError as error:  # on sizes of more than 63 bits; building the model reports any other error
        return _TOO_MANY if "overflow" in str(error) else 0


class _Undrawn(TorchFunctionMode):
    """Leaves out what fills a tensor. On the device "meta" that has no effect, but it loads torch's compiler."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given, name = kwargs or {}, getattr(func, "__name__", "")
        if "out" in given:
            return given["out"]
        if name.endswith("_") and not name.endswith("__"):
            return args[0] if args else given["tensor"]
        return func(*args, **given)


def _sizes(section: Section, path: str) -> Iterator[tuple[int, str]]:
    for name, value in section:
        if isinstance(value, Section):
            yield from _sizes(value, f"{path}.{name}")
        for number in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(number, int):
                yield number, f"{path}.{name}"
