"""Files in a package of Python (.whl), read without installing it; nothing of it runs."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

from s2s.errors import InputError, reason_of

_UNREADABLE = (OSError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


def names_in(path: Path) -> list[str]:
    """The files in a package; none if it is another kind of file, or cannot be read."""
    try:
        if not zipfile.is_zipfile(path):
            return []
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (*_UNREADABLE, ValueError):
        return []


def read_member(path: Path, name: str, most_bytes: int) -> bytes:
    """The content of a file in a package; InputError if it is missing, damaged or larger than expected."""
    try:
        with zipfile.ZipFile(path) as archive:
            if (size := archive.getinfo(name).file_size) > most_bytes:
                raise InputError(f"{path}: {name} must have at most {most_bytes:,} bytes, found {size:,}")
            return archive.read(name)
    except _UNREADABLE as error:
        raise InputError(f"{path}: {name} cannot be read: {reason_of(error)}") from error
