"""Plain text files, line by line, with errors that name the file and the line."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

from s2s.errors import InputError


def read_text_lines(path: Path) -> Iterator[tuple[str, str]]:
    r"""`(where, line)` for every line, blank ones too, without "\n", "\r\n" and byte-order mark; .gz is decompressed.

    Only a newline ends a line: text may hold any other separator that Unicode knows.

    Raises:
        InputError: the file is missing, empty or cannot be read, or a line is not UTF-8.
    """
    where = ""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            for number, raw in enumerate(file, start=1):
                where = f"{path}:{number}"
                yield where, _decode(raw, where, first=number == 1)
    except (OSError, EOFError) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not where:
        raise InputError(f"{path}: the file is empty; expected one text a line")


def read_text(path: Path) -> str:
    """A whole small file.

    Raises:
        InputError: as `read_text_lines`.
    """
    return "\n".join(line for _, line in read_text_lines(path))


def _decode(raw: bytes, where: str, first: bool) -> str:
    try:
        return raw.decode("utf-8-sig" if first else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: invalid UTF-8 at byte {error.start + 1}; expected UTF-8 text") from error
