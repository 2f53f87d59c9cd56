"""Files at URLs, such as `s3://bucket/folder`, through fsspec and whichever package knows the protocol."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from s2s.errors import InputError, reason_of

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def is_url(name: object) -> bool:
    """Whether a name has a protocol."""
    return _URL.match(str(name)) is not None


def is_hidden(name: str) -> bool:
    """Whether a file or a folder inside a folder of data is not data, by its name."""
    return name.startswith((".", "_"))


class Place(NamedTuple):
    """A file or a folder: the file system of fsspec that has it, and its path there."""

    system: Any
    path: str

    def below(self, name: str) -> str:
        """The path of a file in this folder."""
        return f"{self.path.rstrip('/')}/{name}"


def place_of(name: str) -> Place:
    """Where a URL or a local path is; InputError if no package for its protocol is installed."""
    import fsspec

    with at(name):
        return Place(*fsspec.core.url_to_fs(name, use_listings_cache=False))


@contextmanager
def at(name: str, what: str = "cannot be read") -> Iterator[None]:
    """A block that uses a URL; whatever its package raises becomes an InputError."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{name}: {what}: No such file or folder") from error
    except Exception as error:  # each package has exceptions of its own
        raise InputError(f"{name}: {what}: {reason_of(error)}") from error


@contextmanager
def opened_url(name: str) -> Iterator[Any]:
    """A file to read; errors as for `place_of`."""
    place = place_of(name)
    with at(name):
        file = place.system.open(place.path, "rb")
    with file:
        yield file


def files_below(name: str) -> list[str]:
    """The URLs of the files in a folder at any depth, sorted; `name` itself if it is a file.

    Names that begin with a dot or `_` are left out. InputError if there is nothing.
    """
    place = place_of(name)
    with at(name):
        if place.system.isfile(place.path):
            return [name]
        root = place.path.rstrip("/")
        found = [path[len(root) + 1 :] for path in place.system.find(place.path)]
    kept = sorted(path for path in found if not any(map(is_hidden, path.split("/"))))
    if not kept:
        raise InputError(f"{name}: cannot be read: No such file or folder")
    return [f"{name.rstrip('/')}/{path}" for path in kept]


def version_of(names: list[str]) -> str:
    """What changes with the content of files: a hash of their names, sizes and what else the storage tells of them."""
    digest = hashlib.sha256()
    for name in names:
        place = place_of(name)
        with at(name):
            facts = place.system.info(place.path)
            marks = [facts.get(key) for key in ("ETag", "etag", "md5Hash", "content_md5", "mtime", "LastModified")]
            digest.update(f"{name} {facts['size']} {marks}\n".encode())
    return digest.hexdigest()
