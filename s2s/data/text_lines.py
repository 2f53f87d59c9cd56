"""Plain text files with errors that name the file and the line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from s2s.data.files import Line, all_lines
from s2s.errors import InputError

_NOT_TEXT = {"\r": "a carriage return (CR)", "\0": "a NUL"}


def plain_text(line: Line) -> str:
    r"""A line without its "\n" or "\r\n". Only a newline ends a line: text may hold any other separator of Unicode.

    Raises:
        InputError: it is not UTF-8, or holds CR or NUL.
    """
    text = line.text().rstrip("\r\n")
    for character, name in _NOT_TEXT.items():
        if character in text:
            raise InputError(
                f"{line.where}: {name} at character {text.index(character) + 1}; "
                "expected UTF-8 text whose lines end with LF or CRLF"
            )
    return text


def read_text_lines(path: str | Path) -> Iterator[tuple[str, str]]:
    """`(where, line)` for every line, blank ones too, without byte-order mark; compressed files are decompressed.

    Raises:
        InputError: the file is missing, empty or cannot be read; a line is bad, see `plain_text`.
    """
    where = ""
    for line in all_lines(path):
        where = line.where
        yield where, plain_text(line)
    if not where:
        raise InputError(f"{path}: the file is empty; expected one text a line")


def read_text(path: str | Path) -> str:
    r"""A whole small file, with line ends (CR, LF or CRLF) as "\n"; InputError if it is not UTF-8 that can be read."""
    text = "".join(line.text() for line in all_lines(path))
    return text.replace("\r\n", "\n").replace("\r", "\n")
