"""The packages of the extra [speech], imported where they are used."""

from __future__ import annotations

import importlib
from typing import Any

from s2s.errors import InputError


def load(module: str) -> Any:
    """A module of the extra [speech].

    Raises:
        InputError: it is not installed, or a library that it needs is missing; the message names the extra.
    """
    try:
        return importlib.import_module(module)
    except (ModuleNotFoundError, OSError) as error:
        name = getattr(error, "name", None) or module
        raise InputError(f'{name} cannot be loaded: {error}; it comes with pip install "unilatent[speech]"') from error
