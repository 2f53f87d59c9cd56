"""Reading JSON-lines files with errors that name the file, the line and the field."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from s2s.data.files import LONGEST_LINE, Line, read_lines
from s2s.errors import InputError
from s2s.json_files import describe, parse_object


def parse_record(line: Line) -> dict[str, Any]:
    """The JSON object on one line; InputError if it cannot be read or is not an object."""
    return parse_object(line.text(), line.where)


def read_records(path: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """`(where, record)` for every line of a JSON-lines file; InputError if there is none or one cannot be read."""
    empty = True
    for line in read_lines(path):
        empty = False
        yield line.where, parse_record(line)
    if empty:
        raise InputError(f"{path}: the file is empty; expected one JSON object a line")


def id_field(record: dict[str, Any], where: str) -> str | None:
    """The id of a record as text, None if it has none; InputError if it is not text or a whole number."""
    value = record.get("id")
    if value is not None and (isinstance(value, bool) or not isinstance(value, (str, int))):
        raise InputError(f"{where}: 'id' must be a string or a whole number, found {describe(value)}")
    if isinstance(value, str):
        check_unicode(value, "id", where)
    return None if value is None else str(value)


def text_field(record: dict[str, Any], field: str, where: str) -> str | list[str]:
    """The value of a text field: a string, or a list of tokens.

    Raises:
        InputError: the field is missing, empty, or of another type.
    """
    if field not in record:
        raise InputError(f"{where}: {field!r} is missing; found {', '.join(map(repr, record)) or 'no field'}")
    return as_text(record[field], field, where)


def as_text(value: Any, field: str, where: str) -> str | list[str]:
    """The value of a field, if it is a text or a list of tokens; else InputError, as for `text_field`."""
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, str):
            found = describe(item) + (" in it" if isinstance(value, list) else "")
            raise InputError(f"{where}: {field!r} must be a string or a list of tokens, found {found}")
        if len(item) > LONGEST_LINE:
            raise InputError(f"{where}: {field!r} has more than {LONGEST_LINE >> 20} Mi characters, the most allowed")
        check_unicode(item, field, where)
    if not value or (isinstance(value, str) and not value.strip()):
        raise InputError(f"{where}: {field!r} is empty")
    text: str | list[str] = value
    return text


def check_unicode(value: str, field: str, where: str) -> None:
    """Raise InputError for half of a surrogate pair, which JSON can escape but which is not a character."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"{where}: {field!r} holds half a surrogate pair ({value[error.start]!a}) at character "
            f"{error.start + 1}; expected valid Unicode"
        ) from error
