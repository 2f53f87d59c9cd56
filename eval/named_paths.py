"""Systems on the command line: `NAME=PATH`, or a path that names itself."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from s2s.errors import InputError


def named_paths(option: str, values: Iterable[str]) -> dict[str, str]:
    """Paths by name, from `NAME=PATH` or `PATH`, which is named after its last part without .jsonl and .txt.

    Raises:
        InputError: a name or path is empty, or two have one name; `option` begins the message.
    """
    named: dict[str, str] = {}
    for value in values:
        name, equals, path = value.partition("=")
        if not equals or Path(value).exists():
            name, path = Path(os.path.abspath(value)).name.removesuffix(".jsonl").removesuffix(".txt"), value
        if not name or not path:
            raise InputError(f"{option}: expected PATH or NAME=PATH, found {value!r}")
        if name in named:
            raise InputError(f"{option}: two are called {name!r}; give them names with NAME=PATH")
        named[name] = path
    return named
