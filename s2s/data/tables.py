"""Tables: CSV and TSV, read as text (a cell is the string that was written, be it "007" or "NA"); Parquet and Arrow."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from s2s.data.files import LONGEST_LINE, Line, all_lines, seekable, shown_name
from s2s.data.row import Row
from s2s.errors import InputError, reason_of

TEXT_FORMATS: dict[str, dict[str, Any]] = {
    "csv": {"strict": True},
    "tsv": {"strict": True, "delimiter": "\t", "quoting": csv.QUOTE_NONE},
}
"""CSV is quoted as RFC 4180 says; in TSV a quote is a plain character and every line is a row."""
_BATCH = 256
"""Rows of a Parquet file that are in memory at a time."""

csv.field_size_limit(LONGEST_LINE)  # the module's own limit refuses texts of 128 KiB


def text_rows(path: str | Path, format: str, lines: Iterable[Line] | None = None) -> Iterator[Row]:
    """The rows of a CSV or TSV file; the first line names the columns, and empty lines are skipped.

    A row that is bad, or has more or fewer cells than there are columns, says so when its record is asked for.

    Args:
        path: The file, or `-`.
        format: "csv" or "tsv".
        lines: Its lines, if something has read them already.

    Raises:
        InputError: the file cannot be read, or has no line of column names.
    """
    rows = _cells(all_lines(path) if lines is None else lines, shown_name(path), format)
    where, columns = next(rows, (shown_name(path), []))
    if isinstance(columns, InputError):
        raise columns
    _refuse_repeated(columns, where, "the first line must name each column once")
    for number, (where, cells) in enumerate(rows, start=1):
        yield Row(number, where, partial(_record, columns, cells, where))


class _Texts:
    """The texts of lines; it goes on after one that cannot be read."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._lines = iter(lines)
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number = line.number
        return line.text()


def _cells(lines: Iterable[Line], name: str, format: str) -> Iterator[tuple[str, list[str] | InputError]]:
    texts = _Texts(lines)
    reader = csv.reader(texts, **TEXT_FORMATS[format])
    while True:
        where = f"{name}:{texts.number + 1}"
        try:
            cells: list[str] | InputError = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            cells = InputError(f"{where}: {_reason(error)}")
        except InputError as error:
            cells = error
        if cells:
            yield where, cells


def _record(columns: list[str], cells: list[str] | InputError, where: str) -> dict[str, Any]:
    if isinstance(cells, InputError):
        raise cells
    if len(cells) != len(columns):
        raise InputError(f"{where}: expected {len(columns)} cells, as many as columns, found {len(cells)}")
    return dict(zip(columns, cells, strict=True))


def _reason(error: csv.Error) -> str:
    if "new-line" in str(error):
        return "a carriage return inside the line; expected lines that end in \\n or \\r\\n"
    if "end of data" in str(error):
        return "the row begins a quoted cell that is not closed"
    if "field limit" in str(error):
        return f"a cell of more than {LONGEST_LINE >> 20} Mi characters; is a quote that opens a cell not closed?"
    return f"not a row of a table: {error}"


def binary_rows(path: str | Path, format: str) -> Iterator[Row]:
    """The rows of a Parquet or Arrow file, a batch at a time; InputError if it cannot be read."""
    number = 0
    with _reading(path, format) as file:
        for batch in _batches(file, format):
            _refuse_repeated(batch.schema.names, str(path), "rename one")
            for record in batch.to_pylist():
                number += 1
                yield Row(number, f"{path}: row {number}", partial(dict, record))


def count_binary_rows(path: str | Path, format: str) -> int | None:
    """The number of rows of a Parquet file; None for Arrow, which does not record it."""
    import pyarrow.parquet

    if format != "parquet":
        return None
    with _reading(path, format) as file:
        return int(pyarrow.parquet.ParquetFile(file).metadata.num_rows)


def _batches(file: BinaryIO, format: str) -> Iterator[Any]:
    import pyarrow
    import pyarrow.parquet

    if format == "parquet":
        yield from pyarrow.parquet.ParquetFile(file).iter_batches(batch_size=_BATCH)
        return
    try:
        stream: Any = pyarrow.ipc.open_stream(file)  # as `datasets` writes them
    except pyarrow.ArrowInvalid:
        file.seek(0)
        whole = pyarrow.ipc.open_file(file)
        stream = (whole.get_batch(number) for number in range(whole.num_record_batches))
    yield from stream


@contextmanager
def _reading(path: str | Path, format: str) -> Iterator[BinaryIO]:
    import pyarrow

    with seekable(path) as file:
        try:
            yield file
        except (pyarrow.ArrowException, OSError) as error:
            raise InputError(f"{path}: cannot be read as {format.title()}: {reason_of(error)}") from error


def _refuse_repeated(columns: list[str], where: str, advice: str) -> None:
    repeated = {name for name in columns if columns.count(name) > 1}
    if repeated:
        raise InputError(f"{where}: two columns are named {min(repeated)!r}; {advice}")
