"""Plain text files with errors that name the file and the line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from s2s.data.jsonl import number_lines, opened
from s2s.errors import InputError

_NOT_TEXT = {"\r": "a carriage return (CR)", "\0": "a NUL"}


def read_text_lines(path: str | Path) -> Iterator[tuple[str, str]]:
    r"""`(where, line)` for every line, blank ones too, without "\n", "\r\n" and byte-order mark; .gz is decompressed.

    Only a newline ends a line: text may hold any other separator of Unicode.

    Raises:
        InputError: the file is missing, empty or cannot be read; a line is not UTF-8, or holds CR or NUL.
    """
    where = ""
    with opened(path) as file:
        for line in number_lines(file, str(path)):
            where, text = line.where, line.text().rstrip("\r\n")
            for character, name in _NOT_TEXT.items():
                if character in text:
                    raise InputError(
                        f"{where}: {name} at character {text.index(character) + 1}; "
                        "expected UTF-8 text whose lines end with LF or CRLF"
                    )
            yield where, text
    if not where:
        raise InputError(f"{path}: the file is empty; expected one text a line")


def read_text(path: str | Path) -> str:
    r"""A whole small file, with line ends (CR, LF or CRLF) as "\n"; InputError if it is not UTF-8 that can be read."""
    with opened(path) as file:
        text = "".join(line.text() for line in number_lines(file, str(path)))
    return text.replace("\r\n", "\n").replace("\r", "\n")
