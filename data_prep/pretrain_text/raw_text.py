"""Raw text from files, folders, JSON lines and data sets, a document at a time, however large its file is."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import pyarrow as pa

from s2s.data.records import records
from s2s.errors import InputError
from s2s.json_files import parse_object

Unit = Literal["file", "block", "line"]
"""What a document is in a text file: all of it, the lines between blank ones, or each line."""

LONGEST = 1 << 20
"""Maximum bytes of a document; a longer one becomes several, cut at the end of a paragraph, line or word."""

_LONGEST_RECORD = 1 << 28
_COMPRESSED = (".gz", ".zst", ".bz2", ".lz4")
_JSON_LINES = (".jsonl", ".json", ".ndjson")
_TABLES = (".parquet", ".arrow", ".csv", ".tsv")
_DATASET_MARKS = ("state.json", "dataset_dict.json")
_BUFFER = 1 << 20


class Raw(NamedTuple):
    """One document as it is stored.

    Args:
        where: File and line or number, for messages.
        content: UTF-8 text, or a JSON object that holds it (`is_json`).
        piece: 0, or the number of a later piece of an overlong document.
    """

    where: str
    content: bytes
    is_json: bool = False
    piece: int = 0


def files_of(name: str) -> list[str]:
    """The files of an input: those of a folder, sorted, without hidden ones; else the input itself.

    A name that is neither a file nor a folder is a data set (`s2s.data.records.records`).

    Raises:
        InputError: the input is missing, or a folder without files.
    """
    path = Path(name)
    if path.is_dir() and not any((path / mark).is_file() for mark in _DATASET_MARKS):
        found = (file for file in path.rglob("*") if not re.search(r"(^|/)\.", file.relative_to(path).as_posix()))
        files = sorted(str(file) for file in found if file.is_file())
        if not files:
            raise InputError(f"--input {name}: the folder holds no file")
        return files
    if not path.exists() and (path.suffix or name.startswith((".", "/", "~"))) and ":" not in name:
        raise InputError(f"--input {name}: no such file, folder or data set")
    return [name]


def read_raw(name: str, unit: Unit, field: str) -> Iterator[Raw]:
    """The documents of one file or data set.

    Args:
        name: Text or JSON lines, plain or compressed (.gz, .zst, .bz2, .lz4); a table or a data set.
        unit: What a document is in a text file.
        field: The column of a table or data set that holds the text.

    Raises:
        InputError: the file is missing, cut off, or cannot be read; or a row lacks the field.
    """
    path = Path(name)
    plain = path.with_suffix("") if path.suffix.lower() in _COMPRESSED else path
    if not path.is_file() or plain.suffix.lower() in _TABLES:
        yield from _read_rows(name, field)
        return
    try:
        with io.BufferedReader(pa.input_stream(name, compression="detect"), _BUFFER) as file:
            yield from (
                _read_json_lines(file, name) if plain.suffix.lower() in _JSON_LINES else _read_text(file, name, unit)
            )
    except (OSError, pa.ArrowException) as error:
        reason = str(getattr(error, "strerror", None) or error).strip().splitlines()[0]
        raise InputError(f"{name}: cannot be read: {reason}") from error


def text_of(raw: Raw, field: str) -> str:
    """The text of a document.

    Raises:
        UnicodeError: it is not UTF-8, or holds half a surrogate pair, which JSON can escape.
        InputError: it is not a JSON object, or its field is missing or not a string.
    """
    text = raw.content.decode("utf-8-sig")
    if not raw.is_json:
        return text
    record = parse_object(text, raw.where)
    if field not in record:
        found = ", ".join(map(repr, record)) or "no field"
        raise InputError(f"{raw.where}: expected an object with the field {field!r}, found {found}")
    text = _string(record[field], field, raw.where)
    text.encode("utf-8")
    return text


def cut(content: bytes | bytearray, most: int = LONGEST) -> int:
    """Where to cut overlong content: after its last paragraph, line or word that ends in the later half of `most`."""
    for end in (b"\n\n", b"\n", b" "):
        place = content.rfind(end, most // 2, most)
        if place >= 0:
            return place + len(end)
    place = most
    while place > most - 4 and content[place] & 0xC0 == 0x80:  # not inside a character
        place -= 1
    return place


def _read_text(file: IO[bytes], name: str, unit: Unit) -> Iterator[Raw]:
    buffer = bytearray()
    number = 1
    piece = 0
    while line := file.readline(LONGEST):
        is_blank = not line.strip()
        if not (unit == "block" and is_blank):
            buffer += line
        while len(buffer) > LONGEST:
            end = cut(buffer)
            yield Raw(f"{name}: document {number}", bytes(buffer[:end]), piece=piece)
            del buffer[:end]
            piece += 1
        if line.endswith(b"\n") and (unit == "line" or (unit == "block" and is_blank and buffer)):
            yield Raw(f"{name}: document {number}", bytes(buffer), piece=piece)
            buffer.clear()
            number, piece = number + 1, 0
    if buffer or (unit == "file" and not piece):
        yield Raw(f"{name}: document {number}", bytes(buffer), piece=piece)


def _read_json_lines(file: IO[bytes], name: str) -> Iterator[Raw]:
    number = 0
    while line := file.readline(_LONGEST_RECORD):
        number += 1
        if len(line) == _LONGEST_RECORD:
            raise InputError(
                f"{name}:{number}: a line of more than {_LONGEST_RECORD >> 20} MiB; expected a JSON object"
            )
        if line.strip():
            yield Raw(f"{name}:{number}", line, is_json=True)


def _read_rows(name: str, field: str) -> Iterator[Raw]:
    for where, row in records(name):
        if field not in row:
            raise InputError(f"{where}: expected a column {field!r}, found {', '.join(map(repr, row))}")
        yield Raw(where, _string(row[field], field, where).encode("utf-8"))


def _string(value: Any, field: str, where: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError(f"{where}: {field!r} must be a string, found {type(value).__name__}")
    return value
