"""Ways to damage a file: what every reader of files must be ready for."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_NOISE = np.random.default_rng(7).bytes(600)
DEEP = b"[" * 100_000
DEEP_OBJECT = b'{"a":' * 50_000

JUNK: dict[str, bytes] = {
    "empty": b"",
    "zeros": bytes(64),
    "binary": _NOISE,
    "utf-16": '{"id": "1", "src": "the tool"}\n'.encode("utf-16"),
    "a web page": b"<!DOCTYPE html>\n<html><body>404 not found</body></html>\n",
    "an LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 12345\n",
}
"""Contents that no file of a known format has."""

NOT_OBJECTS: dict[str, bytes] = {
    "a list": b"[1, 2]",
    "null": b"null",
    "a number": b"5",
    "a string": b'"text"',
    "broken": b'{"id": ',
    "deep": DEEP,
    "deep objects": DEEP_OBJECT,
    "a number of 5,000 digits": b'{"id": ' + b"7" * 5000 + b"}",
}
"""JSON that is not an object."""

WRONG: dict[str, Any] = {
    "null": None,
    "true": True,
    "a number": 7.5,
    "a negative number": -3,
    "a huge number": 10**30,
    "nan": float("nan"),
    "infinity": float("inf"),
    "an empty string": "",
    "blanks": " \t ",
    "a list": [],
    "a list of numbers": [1, 2],
    "an object": {"a": 1},
    "half a surrogate pair": "tool \ud800",
    "a zero byte": "tool\0",
    "very long": "a" * 200_000,
}
"""Values of JSON by what they are; which of them are wrong depends on the field."""


def replaced(path: Path, content: bytes) -> None:
    """Put other content in the place of a file."""
    path.write_bytes(content)


def halved(path: Path) -> None:
    """Cut a file in its middle."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def made_a_folder(path: Path) -> None:
    """Put a folder in the place of a file."""
    path.unlink()
    path.mkdir()


def gone(path: Path) -> None:
    """Delete a file or a folder."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def linked_to_itself(path: Path) -> None:
    """Put a link that leads nowhere in the place of a file."""
    path.unlink()
    path.symlink_to(path.name)


Damage = Callable[[Path], None]


def of_any_file() -> dict[str, Damage]:
    """Damages of a file, whatever its format."""
    junk: dict[str, Damage] = {name: _content(content) for name, content in JUNK.items()}
    return {"gone": gone, "a folder": made_a_folder, "halved": halved, "a loop of links": linked_to_itself, **junk}


def of_json_file() -> dict[str, Damage]:
    """Damages of a file that holds one JSON object."""
    return {name: _content(content) for name, content in {**NOT_OBJECTS, "an empty object": b"{}"}.items()}


def _content(content: bytes) -> Damage:
    return lambda path: replaced(path, content)


def broken_gzip(lines: bytes) -> dict[str, bytes]:
    """Files that are named .gz and are not quite."""
    packed = gzip.compress(lines)
    return {"plain text": lines, "halved": packed[: len(packed) // 2], "with a tail": packed + b"tail"}


def nodes(tree: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The paths of all nodes of a JSON value."""
    found = [path]
    if isinstance(tree, dict | list):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        for key, value in items:
            found += nodes(value, (*path, key))
    return found


def with_node(tree: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """A copy of a JSON value with one node replaced."""
    if not path:
        return value
    copy = json.loads(json.dumps(tree))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return copy
