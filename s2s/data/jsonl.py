"""Reading JSON-lines files with errors that name the file, the line and the field."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from s2s.errors import InputError
from s2s.json_files import describe, parse_object


class Line(NamedTuple):
    """One line of a file: its number from 1, its bytes without the newline, and where it is, for messages."""

    number: int
    content: bytes
    where: str


def read_lines(path: str | Path) -> Iterator[Line]:
    """Lines of a file (`-` is standard input), blank ones left out, with a byte-order mark removed.

    Raises:
        InputError: the file is missing, is a folder, or cannot be read.
    """
    if str(path) == "-":
        yield from _number_lines(sys.stdin.buffer, "standard input")
        return
    try:
        with open(path, "rb") as file:
            yield from _number_lines(file, str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def _number_lines(file: Any, name: str) -> Iterator[Line]:
    for number, content in enumerate(file, start=1):
        if number == 1:
            content = content.removeprefix(b"\xef\xbb\xbf")
        content = content.strip()
        if content:
            yield Line(number, content, f"{name}:{number}")


def parse_record(line: Line) -> dict[str, Any]:
    """The JSON object on one line.

    Raises:
        InputError: invalid UTF-8, JSON that cannot be read, or JSON that is not an object.
    """
    return parse_object(line.content, line.where)


def read_records(path: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """`(where, record)` for every line of a JSON-lines file.

    Raises:
        InputError: as `read_lines` and `parse_record`, or the file holds no record.
    """
    empty = True
    for line in read_lines(path):
        empty = False
        yield line.where, parse_record(line)
    if empty:
        raise InputError(f"{path}: the file is empty; expected one JSON object a line")


def text_field(record: dict[str, Any], field: str, where: str) -> str | list[str]:
    """The value of a text field: a string, or a list of tokens.

    Raises:
        InputError: the field is missing, empty, or of another type.
    """
    if field not in record:
        raise InputError(f"{where}: {field!r} is missing; found {', '.join(map(repr, record)) or 'no field'}")
    value = record[field]
    if isinstance(value, list):
        for item in value:
            if not isinstance(item, str):
                raise InputError(
                    f"{where}: {field!r} must be a string or a list of tokens, found {describe(item)} in it"
                )
            _check_unicode(item, field, where)
        if not value:
            raise InputError(f"{where}: {field!r} is empty")
        return value
    if not isinstance(value, str):
        raise InputError(f"{where}: {field!r} must be a string or a list of tokens, found {describe(value)}")
    if not value.strip():
        raise InputError(f"{where}: {field!r} is empty")
    _check_unicode(value, field, where)
    return value


def _check_unicode(value: str, field: str, where: str) -> None:
    """JSON may escape half of a surrogate pair, which is no character and which no tokenizer takes."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"{where}: {field!r} holds half a surrogate pair ({value[error.start]!a}) at character "
            f"{error.start + 1}; expected valid Unicode"
        ) from error
