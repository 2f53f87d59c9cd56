"""Names for tasks, models, criteria and decoders: `@register_task("seq2seq")` on a class is all it takes.

Built-in classes are imported when a name is first looked up: those of s2s, and those of latent only if s2s lacks the
name. The `imports:` list of a configuration adds classes from outside this distribution; that of a run folder is
imported only if it is trusted.
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
from collections.abc import Callable, Iterable, Iterator, Set
from itertools import accumulate
from pathlib import Path
from typing import TypeVar

from s2s.errors import ConfigError, shown

T = TypeVar("T", bound=type)

TRUSTED = "UNILATENT_TRUST_IMPORTS"
"""Environment variable: the modules that any run may import with their submodules, separated by commas."""
_ROOT = Path(__file__).resolve().parents[1]
_ROOM = 160  # characters of a message's 300 for the names that are known
_PACKAGES = ("unilatent", "s2s", "latent", "data_prep", "eval")


class Registry:
    """The classes of one kind, by name.

    Args:
        kind: What the classes are, for messages ("criterion").
        packages: Packages whose modules register the built-in classes ("s2s.criteria"), in search order.
    """

    def __init__(self, kind: str, *packages: str) -> None:
        self.kind = kind
        self._packages = packages
        self._classes: dict[str, type] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Class decorator that registers a class under `name`; ValueError if another class has that name."""

        def add(cls: T) -> T:
            known = self._classes.get(name)
            if known is not None and known.__qualname__ != cls.__qualname__:
                raise ValueError(f"{self.kind} {name!r} is already registered, by {known.__module__}.{known.__name__}")
            self._classes[name] = cls
            return cls

        return add

    def __getitem__(self, name: str) -> type:
        """The class of that name; ConfigError, with the nearest known name, if there is none."""
        for package in self._packages:
            _import_all(package)
            if name in self._classes:
                return self._classes[name]
        raise ConfigError(f"{self.kind}.name: no {self.kind} is called {shown(name)}{nearest(name, self.names())}")

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
    """Import modules, so that their classes are registered; ConfigError if one cannot be imported."""
    for name in names:
        try:
            importlib.import_module(name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plug-in may raise anything, even SystemExit
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = "" if isinstance(error, ImportError) else f"{last.filename}:{last.lineno}: {type(error).__name__}: "
            raise ConfigError(f"imports: cannot import {name!r}: {where}{error}") from error


def search_working_directory() -> None:
    """Let a user's own configuration import modules of the working directory too, as `python -m` does."""
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)


def refuse_untrusted(names: object, where: str | Path) -> None:
    """Raise a ConfigError if a run's `imports:` has modules that are not ours, imported already, or trusted."""
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
    """A block in which any run may import the modules it names, in this process and those that it starts."""
    before = os.environ.get(TRUSTED)
    os.environ[TRUSTED] = "*"
    try:
        yield
    finally:
        os.environ.pop(TRUSTED)
        if before is not None:
            os.environ[TRUSTED] = before


def _is_ours(name: str) -> bool:
    """Whether a module is a file of this distribution; imports nothing."""
    top, *rest = name.split(".")
    spec = importlib.util.find_spec(top) if top in _PACKAGES and all(map(str.isidentifier, rest)) else None
    if spec is None or spec.origin is None or Path(spec.origin).resolve() != _ROOT / top / "__init__.py":
        return False
    path = _ROOT.joinpath(top, *rest)
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known name, or as many of all as a line has room for.

    Sets are sorted; everything else keeps its order.
    """
    names = sorted(known) if isinstance(known, Set) else list(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f". Did you mean {close[0]!r}?"
    lengths = accumulate(len(known_name) + 2 for known_name in names)
    told = sum(length <= _ROOM for length in lengths)
    more = f" and {len(names) - told} more" if told < len(names) else ""
    return f"; known: {', '.join(names[:told])}{more}" if names else ""
