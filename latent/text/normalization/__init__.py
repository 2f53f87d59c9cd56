"""Text normalization: everyday text as people say it, by the rules of each language."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

_MODULES = {"en": "english", "es": "spanish", "fr": "french"}


def normalizer(language: str) -> Callable[[str], str] | None:
    """What turns a plain text of a language into words; None where there are no rules of its own."""
    if language not in _MODULES:
        return None
    normalize: Callable[[str], str] = import_module(f"{__name__}.{_MODULES[language]}").normalize
    return normalize
