"""Optional packages, imported where they are used, with a message that names the extra to install."""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from s2s.errors import InputError


def load(module: str, extra: str) -> Any:
    """The module of an optional package; InputError if it, or a library that it needs, is not installed."""
    try:
        return importlib.import_module(module)
    except (ModuleNotFoundError, OSError) as error:
        name = getattr(error, "name", None) or module
        problem = "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be loaded: {error}"
        raise InputError(f'{name} {problem}; it comes with pip install "unilatent[{extra}]"') from error


def version_of(distribution: str) -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
