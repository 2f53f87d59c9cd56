"""Files of records: their formats by suffix, compression, and lines with errors that name the file and the line."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from s2s.data.remote import at, is_url, opened_url
from s2s.errors import InputError, reason_of

STANDARD = "-"
"""A file name: standard input, or standard output."""
LONGEST_LINE = 1 << 26
"""Maximum bytes of a line or a cell (64 MiB); a longer line is not read into memory."""
FORMATS = {
    **dict.fromkeys((".jsonl", ".json", ".ndjson"), "jsonl"),
    **dict.fromkeys((".txt", ".text"), "text"),
    **{f".{name}": name for name in ("csv", "tsv", "parquet", "arrow")},
}
"""Formats of records by suffix, see `suffix_of`."""


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


def _open_zstandard(path: str | Path | BinaryIO, mode: str) -> io.BufferedReader:
    import pyarrow

    source = str(path) if isinstance(path, str | Path) else path
    return io.BufferedReader(pyarrow.input_stream(source, compression="zstd"))


_OPEN: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".zst": _open_zstandard}
_MARKS = {
    b"\x1f\x8b": "compressed by gzip; give it a name in .gz",
    b"BZh": "compressed by bzip2; give it a name in .bz2",
    b"\xfd7zXZ\0": "compressed by xz; give it a name in .xz",
    b"\x28\xb5\x2f\xfd": "compressed by zstd; give it a name in .zst",
    b"PAR1": "a Parquet file; give it a name in .parquet",
    b"ARROW1": "an Arrow file; give it a name in .arrow",
    b"PK\x03\x04": "a ZIP archive or a spreadsheet; unpack it, or save it as CSV",
}
"""First bytes of files that hold no lines."""


def compression_of(path: str | Path) -> str:
    """The suffix of a compressed file, such as ".gz"; "" if the name has none."""
    suffix = Path(str(path).lower()).suffix
    return suffix if suffix in _OPEN else ""


def suffix_of(path: str | Path) -> str:
    """The suffix that names a file's format, in lower case: ".csv" of "A.CSV.gz"."""
    return Path(str(path).lower().removesuffix(compression_of(path))).suffix


def without_suffixes(path: str | Path) -> str:
    """The name of a file without its folder, format and compression: "hyp" of "out/hyp.csv.gz"."""
    name = Path(path).name
    return name[: len(name) - len(compression_of(name)) - len(suffix_of(name))] or name


@contextmanager
def opened(path: str | Path) -> Iterator[BinaryIO]:
    """A file to read; `-` is standard input, .gz, .bz2, .xz and .zst are decompressed; a failure is an InputError."""
    if str(path) == STANDARD:
        yield sys.stdin.buffer
        return
    if is_url(path):
        with opened_url(str(path)) as stored, at(str(path)):
            unpack = _OPEN.get(compression_of(path))
            with stored if unpack is None else unpack(stored, "rb") as file:
                yield file
        return
    try:
        with _OPEN.get(compression_of(path), open)(path, "rb") as file:
            yield file
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or reason_of(error)}") from error


@contextmanager
def seekable(path: str | Path) -> Iterator[BinaryIO]:
    """`opened` for formats that are read from their end; what is compressed goes through a temporary file."""
    with opened(path) as file:
        if not compression_of(path):
            yield file
            return
        with tempfile.TemporaryFile() as plain:
            shutil.copyfileobj(file, plain)
            plain.seek(0)
            yield plain


def read_lines(path: str | Path) -> Iterator[Line]:
    """Lines of a file (`-` is standard input), without the white space around them; blank ones are left out.

    Raises:
        InputError: the file is missing, is a folder, or cannot be read.
    """
    for line in all_lines(path):
        if content := line.content.strip():
            yield line._replace(content=content)


def all_lines(path: str | Path) -> Generator[Line]:
    """All lines of a file with their ends, see `number_lines`; errors as for `read_lines`."""
    with opened(path) as file:
        yield from number_lines(file, shown_name(path))


def number_lines(file: BinaryIO, name: str) -> Iterator[Line]:
    """All lines with their ends, without a byte-order mark; those over `LONGEST_LINE` are cut there.

    Raises:
        InputError: the file begins like one that is compressed or holds no lines.
    """
    pieces = iter(lambda: file.readline(LONGEST_LINE + 1), b"")
    for number, content in enumerate(pieces, start=1):
        if number == 1:
            _refuse_marks(content, name)
            content = content.removeprefix(codecs.BOM_UTF8)
        rest = content
        while len(rest) > LONGEST_LINE and not rest.endswith(b"\n"):
            rest = file.readline(LONGEST_LINE + 1)
        yield Line(number, content, f"{name}:{number}")


def count_lines(path: str | Path) -> int:
    """The number of lines, the last of which may lack its end."""
    count, last = 0, b"\n"
    with opened(path) as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            count, last = count + block.count(b"\n"), block[-1:]
    return count + (last != b"\n")


def shown_name(path: str | Path) -> str:
    """The name of a file in messages."""
    return "standard input" if str(path) == STANDARD else str(path)


def _refuse_marks(content: bytes, name: str) -> None:
    for mark, kind in _MARKS.items():
        if content.startswith(mark):
            raise InputError(f"{name}: is {kind}")
