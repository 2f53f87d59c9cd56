"""Optional packages, imported where they are used, with a message that names the extra to install."""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

from s2s.errors import InputError


def load(module: str, extra: str = "eval") -> ModuleType:
    """The module of an optional package.

    Raises:
        InputError: the package is not installed; the message says which extra brings it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(f'{error.name} is not installed; it comes with pip install "unilatent[{extra}]"') from error


def version_of(distribution: str) -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
