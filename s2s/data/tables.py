"""CSV and TSV files, read as text: a cell is the string that was written, be it "007" or "NA"."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from s2s.data.jsonl import LONGEST_LINE, number_lines, opened, suffix_of
from s2s.errors import InputError

FORMATS: dict[str, dict[str, Any]] = {
    ".csv": {"strict": True},
    ".tsv": {"strict": True, "delimiter": "\t", "quoting": csv.QUOTE_NONE},
}
"""By suffix: CSV is quoted as RFC 4180 says; in TSV a quote is a plain character and every line is a row."""

csv.field_size_limit(LONGEST_LINE)  # the module's own limit refuses texts of 128 KiB


def read_table(path: str | Path) -> Iterator[tuple[str, dict[str, str]]]:
    """`(where, record)` for every row; the first line names the columns, and empty lines are skipped.

    Raises:
        InputError: the file cannot be read or has no row, or a row has more or fewer cells than there are columns.
    """
    rows = _rows(path)
    where, columns = next(rows, (str(path), []))
    repeated = {name for name in columns if columns.count(name) > 1}
    if repeated:
        raise InputError(f"{where}: two columns are named {min(repeated)!r}; the first line must name each column once")
    empty = True
    for where, cells in rows:
        empty = False
        if len(cells) != len(columns):
            raise InputError(f"{where}: expected {len(columns)} cells, as many as columns, found {len(cells)}")
        yield where, dict(zip(columns, cells, strict=True))
    if empty:
        raise InputError(f"{path}: the table is empty; expected a line of column names, then at least one row")


def _rows(path: str | Path) -> Iterator[tuple[str, list[str]]]:
    with opened(path) as file:
        reader = csv.reader((line.text() for line in number_lines(file, str(path))), **FORMATS[suffix_of(path)])
        while True:
            where = f"{path}:{reader.line_num + 1}"
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise InputError(f"{where}: {_reason(error)}") from error
            if cells:
                yield where, cells


def _reason(error: csv.Error) -> str:
    if "new-line" in str(error):
        return "a carriage return inside the line; expected lines that end in \\n or \\r\\n"
    if "end of data" in str(error):
        return "the row begins a quoted cell that is not closed"
    return f"not a row of a table: {error}"
