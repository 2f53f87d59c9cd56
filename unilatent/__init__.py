"""The front door of the toolkit: its public names in Python, and its command line. It holds no algorithm."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from unilatent import siblings

if TYPE_CHECKING:
    from s2s.errors import InputError as InputError

    __version__: str

siblings.install()

_PUBLIC = {"InputError": "s2s.errors"}
"""Public names and the modules that define them, which are imported when a name is used."""

__all__ = ["InputError", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("unilatent")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'unilatent' has no attribute {name!r}; it has {', '.join(__all__)}")
    try:
        return getattr(import_module(_PUBLIC[name]), name)
    except (ImportError, AttributeError) as error:
        raise ImportError(siblings.clash() or str(error)) from error


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
