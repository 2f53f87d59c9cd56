"""The front door of the toolkit: its public names in Python, and its command line. It holds no algorithm."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from unilatent import siblings

if TYPE_CHECKING:
    from latent.recognition.recognizer import Recognizer as Recognizer
    from latent.synthesis.voice import Voice as Voice
    from s2s.errors import InputError as InputError
    from s2s.generation.generator import Generator as Generator
    from s2s.run import train as train

    __version__: str

siblings.install()

_PUBLIC = {
    "Generator": "s2s.generation.generator",
    "InputError": "s2s.errors",
    "Recognizer": "latent.recognition.recognizer",
    "Voice": "latent.synthesis.voice",
    "train": "s2s.run",
}
"""Public names and the modules that define them, which are imported when a name is used."""

__all__ = ["Generator", "InputError", "Recognizer", "Voice", "__version__", "train"]


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
    return __all__
