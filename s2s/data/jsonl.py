"""Reading JSON-lines files with errors that name the file, the line and the field."""

from __future__ import annotations

import codecs
import gzip
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from s2s.errors import InputError
from s2s.json_files import describe, parse_object

LONGEST_LINE = 1 << 26
"""Maximum bytes of a line (64 MiB); a longer line is not read into memory."""


class Line(NamedTuple):
    """One line of a file: its number from 1, its bytes, and where it is, for messages."""

    number: int
    content: bytes
    where: str

    def text(self) -> str:
        """The line as text; InputError for invalid UTF-8 or more than `LONGEST_LINE` bytes."""
        if len(self.content) > LONGEST_LINE:
            raise InputError(f"{self.where}: the line is longer than {LONGEST_LINE >> 20} MiB, the most that is read")
        try:
            return self.content.decode("utf-8")
        except UnicodeDecodeError as error:
            marks = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
            found = "UTF-16" if self.content.startswith(marks) else f"invalid UTF-8 at byte {error.start + 1}"
            raise InputError(f"{self.where}: {found}; expected UTF-8 text") from error


def suffix_of(path: str | Path) -> str:
    """The suffix that names a file's format, in lower case: ".csv" of "A.CSV.gz"."""
    return Path(str(path).lower().removesuffix(".gz")).suffix


@contextmanager
def opened(path: str | Path) -> Iterator[BinaryIO]:
    """A file to read; `-` is standard input, a name in .gz is decompressed, and a failure becomes an InputError."""
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    try:
        with cast(BinaryIO, (gzip.open if str(path).lower().endswith(".gz") else open)(path, "rb")) as file:
            yield file
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def read_lines(path: str | Path) -> Iterator[Line]:
    """Lines of a file (`-` is standard input), without the white space around them; blank ones are left out.

    Raises:
        InputError: the file is missing, is a folder, or cannot be read.
    """
    with opened(path) as file:
        for line in number_lines(file, "standard input" if str(path) == "-" else str(path)):
            if content := line.content.strip():
                yield line._replace(content=content)


def number_lines(file: BinaryIO, name: str) -> Iterator[Line]:
    """All lines with their ends, without a byte-order mark; those over `LONGEST_LINE` are cut there."""
    pieces = iter(lambda: file.readline(LONGEST_LINE + 1), b"")
    for number, content in enumerate(pieces, start=1):
        if number == 1:
            content = content.removeprefix(b"\xef\xbb\xbf")
        rest = content
        while len(rest) > LONGEST_LINE and not rest.endswith(b"\n"):
            rest = file.readline(LONGEST_LINE + 1)
        yield Line(number, content, f"{name}:{number}")


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
    value: str | list[str] = record[field]
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, str):
            found = describe(item) + (" in it" if isinstance(value, list) else "")
            raise InputError(f"{where}: {field!r} must be a string or a list of tokens, found {found}")
        check_unicode(item, field, where)
    if not value or (isinstance(value, str) and not value.strip()):
        raise InputError(f"{where}: {field!r} is empty")
    return value


def check_unicode(value: str, field: str, where: str) -> None:
    """Raise InputError for half of a surrogate pair, which JSON can escape but which is not a character."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"{where}: {field!r} holds half a surrogate pair ({value[error.start]!a}) at character "
            f"{error.start + 1}; expected valid Unicode"
        ) from error
