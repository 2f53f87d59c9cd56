"""Names for tasks, models, criteria and decoders: `@register_task("seq2seq")` on a class is all it takes.

Built-in classes are imported when a name is first looked up: those of s2s, and those of latent only if s2s has no such
name. Classes outside this distribution come in by the `imports:` list of a configuration (see `import_modules`).
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from s2s.errors import ConfigError

T = TypeVar("T", bound=type)


class Registry:
    """The classes of one kind, by name.

    Args:
        kind: What the classes are, in the singular, for messages ("criterion").
        packages: Packages whose modules register the built-in classes ("s2s.criteria"), in the order of the search.
    """

    def __init__(self, kind: str, *packages: str) -> None:
        self.kind = kind
        self._packages = packages
        self._classes: dict[str, type] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Class decorator that files a class under `name`.

        Raises:
            ValueError: another class has that name already.
        """

        def add(cls: T) -> T:
            known = self._classes.get(name)
            if known is not None and known.__qualname__ != cls.__qualname__:
                raise ValueError(f"{self.kind} {name!r} is already registered, by {known.__module__}.{known.__name__}")
            self._classes[name] = cls
            return cls

        return add

    def __getitem__(self, name: str) -> type:
        """The class called `name`.

        Raises:
            ConfigError: no class has that name; the message names the nearest one.
        """
        for package in self._packages:
            _import_all(package)
            if name in self._classes:
                return self._classes[name]
        raise ConfigError(f"{self.kind}.name: no {self.kind} is called {name!r}{nearest(name, self._classes)}")

    def names(self) -> list[str]:
        """All names, sorted."""
        for package in self._packages:
            _import_all(package)
        return sorted(self._classes)


def _import_all(package: str) -> None:
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
        importlib.import_module(module.name)


TASKS = Registry("task", "s2s.tasks", "latent.tasks")
MODELS = Registry("model", "s2s.models", "latent.models")
CRITERIA = Registry("criterion", "s2s.criteria", "latent.criteria")
DECODERS = Registry("decoder", "s2s.decoding", "latent.decoding")

register_task = TASKS.register
register_model = MODELS.register
register_criterion = CRITERIA.register
register_decoder = DECODERS.register


def import_modules(names: Iterable[str]) -> None:
    """Import the modules of a configuration's `imports:` list, so that their classes are registered.

    Modules beside the working directory are found too, as with `python -m`.

    Raises:
        ConfigError: a module cannot be imported.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # whatever the code of a plug-in does wrong
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = "" if isinstance(error, ImportError) else f"{last.filename}:{last.lineno}: {type(error).__name__}: "
            raise ConfigError(f"imports: cannot import {name!r}: {where}{error}") from error


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, else all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f". Did you mean {close[0]!r}?"
    return f"; known: {', '.join(names)}" if names else ""
