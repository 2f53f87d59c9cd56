"""Names for tasks, models, criteria and decoders: `@register_task("seq2seq")` on a class is all it takes.

Built-in classes are imported when a name is first looked up: those of s2s, and those of latent only if s2s has no such
name. Classes outside this distribution come in by the `imports:` list of a configuration: a user's own is imported,
that of a run folder only if it is trusted.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import os
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import TypeVar

from s2s.errors import ConfigError, shown

T = TypeVar("T", bound=type)

TRUSTED = "UNILATENT_TRUST_IMPORTS"
"""The environment variable with the modules that any run may import, commas between; those below them too."""
_ROOT = Path(__file__).resolve().parents[1]
_PACKAGES = ("unilatent", "s2s", "latent", "data_prep", "eval")


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
        raise ConfigError(f"{self.kind}.name: no {self.kind} is called {shown(name)}{nearest(name, self._classes)}")

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
    """Import the modules that a configuration names, so that their classes are registered.

    Raises:
        ConfigError: a module cannot be imported.
    """
    for name in names:
        try:
            importlib.import_module(name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever the code of a plug-in does wrong, sys.exit too
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = "" if isinstance(error, ImportError) else f"{last.filename}:{last.lineno}: {type(error).__name__}: "
            raise ConfigError(f"imports: cannot import {name!r}: {where}{error}") from error


def search_working_directory() -> None:
    """Let a user's own configuration import modules of the working directory too, as `python -m` does."""
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)


def refuse_untrusted(names: object, where: str | Path) -> None:
    """See that a loaded run names no module whose code is neither ours, nor imported already, nor trusted.

    Args:
        names: The run's `imports:`, as its file has them.
        where: The file, for messages.

    Raises:
        ConfigError: it does; nothing of it was run.
    """
    trusted = {name.strip() for name in os.environ.get(TRUSTED, "").split(",")} - {""}
    unknown = [
        name
        for name in (names if isinstance(names, list) else [])
        if isinstance(name, str)
        and not (name in sys.modules or _is_ours(name) or trusted & {"*", *accumulate(name.split("."), "{}.{}".format)})
    ]
    if unknown:
        raise ConfigError(
            f"{where}: imports: this run would run the code of {shown(','.join(unknown))}, which is not part of "
            f"unilatent; if you trust it, give --trust-imports, or set {TRUSTED}={unknown[0]}"
        )


@contextlib.contextmanager
def trusting_imports() -> Iterator[None]:
    """A block in which loaded runs may import what they name, in this process and those that it starts."""
    before = os.environ.get(TRUSTED)
    os.environ[TRUSTED] = "*"
    try:
        yield
    finally:
        os.environ.pop(TRUSTED)
        if before is not None:
            os.environ[TRUSTED] = before


def _is_ours(name: str) -> bool:
    """Whether a module is a file of this distribution; nothing is imported to find out."""
    top, *rest = name.split(".")
    spec = importlib.util.find_spec(top) if top in _PACKAGES and all(map(str.isidentifier, rest)) else None
    if spec is None or spec.origin is None or Path(spec.origin).resolve() != _ROOT / top / "__init__.py":
        return False
    path = _ROOT.joinpath(top, *rest)
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, else all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f". Did you mean {close[0]!r}?"
    return f"; known: {', '.join(names)}" if names else ""
