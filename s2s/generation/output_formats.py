"""Formats of an output by its suffix: JSON lines, text, CSV, TSV and Parquet; the first four also compressed."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import itertools
import lzma
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal

from s2s.data.files import FORMATS, STANDARD, compression_of, read_lines, suffix_of
from s2s.data.jsonl import parse_record
from s2s.durable import whole_file
from s2s.errors import InputError
from s2s.json_files import dump_json, parse_object

OutputFormat = Literal["jsonl", "text", "csv", "tsv", "parquet"]

_COLUMNS = ("id", "tgt", "score", "nbest", "error")
_ON_ONE_LINE = str.maketrans("\n\r\t", "   ")
_BATCH = 1024


def output_format(output: str, is_text: bool) -> OutputFormat:
    """The format of an output: standard output is plain text if the input `is_text`, else JSON lines.

    A name without a suffix is JSON lines too.

    Raises:
        InputError: nothing is written in the format that the name asks for.
    """
    if output == STANDARD:
        return "text" if is_text else "jsonl"
    suffix = suffix_of(output)
    format: Any = FORMATS.get(suffix, "" if suffix else "jsonl")
    if not format:
        known = ", ".join(name for name, kind in FORMATS.items() if kind != "arrow")
        raise InputError(f"{output}: the suffix must be one of {known}, found {suffix!r}")
    if format == "arrow" or (format == "parquet" and compression_of(output)):
        raise InputError(f"{output}: is not written; give a name in .parquet, which is compressed in itself")
    return format  # type: ignore[no-any-return]


def to_lines(
    records: Iterable[dict[str, Any]],
    format: OutputFormat = "jsonl",
    with_nbest: bool = False,
    with_names: bool = False,
) -> list[str]:
    """Outputs as lines of a file, the names of columns before them if they are wanted.

    Plain text holds the best text alone, on one line, empty where there is none. A cell that is no text holds JSON. In
    TSV, tabs and line ends are blanks. A Parquet file is made of JSON lines at the end.
    """
    if format in ("jsonl", "parquet"):
        return [dump_json(record) for record in records]
    if format == "text":
        return [(record["tgt"] or "").translate(_ON_ONE_LINE) for record in records]
    columns = [name for name in _COLUMNS if name != "nbest" or with_nbest]
    rows = [[_cell(record.get(name)) for name in columns] for record in records]
    rows = [columns, *rows] if with_names else rows
    if format == "tsv":
        return ["\t".join(cell.translate(_ON_ONE_LINE) for cell in row) for row in rows]
    return [_csv_line(row) for row in rows]


def _cell(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else dump_json(value)


def _csv_line(cells: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)  # ends in \r\n
    return line.getvalue()[:-2]


def _zstandard(content: bytes) -> bytes:
    import pyarrow

    return bytes(pyarrow.Codec("zstd").compress(content, asbytes=True))


_COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda content: gzip.compress(content, mtime=0),
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": _zstandard,
}


def encoded(lines: Iterable[str], path: str | Path) -> bytes:
    """Lines as bytes to append to a file: compressed if its name says so, each time as a member of its own.

    All these formats may have several members, so a file that grows is whole after each of them.
    """
    content = "".join(f"{line}\n" for line in lines).encode()
    compress = _COMPRESS.get(compression_of(path))
    return compress(content) if compress and content else content


def rows_file(output: Path) -> Path:
    """Where the rows of a Parquet file are until it is written whole: JSON lines beside it."""
    return output.with_name(f"{output.name}.rows.jsonl")


def write_parquet(rows: Path, output: Path) -> None:
    """Make a Parquet file of its rows, a batch at a time; InputError if it cannot be written."""
    import pyarrow
    import pyarrow.parquet

    schema = _schema(rows)
    with whole_file(output) as file, pyarrow.parquet.ParquetWriter(file, schema) as writer:
        for batch in _batches(map(parse_record, read_lines(rows))):
            if schema.field("id").type == pyarrow.string():
                batch = [{**record, "id": _cell(record["id"])} for record in batch]
            writer.write_batch(pyarrow.RecordBatch.from_pylist(batch, schema=schema))


def write_part(lines: Iterable[str], file: BinaryIO) -> None:
    """Write rows, JSON lines, as one of many Parquet files, all with the same columns; ids are text."""
    import pyarrow
    import pyarrow.parquet

    schema = _schema_of(_COLUMNS, are_numbers=False)
    rows = [parse_object(line, "row") for line in lines]
    table = pyarrow.Table.from_pylist([{**row, "id": _cell(row["id"])} for row in rows], schema=schema)
    pyarrow.parquet.write_table(table, file)


def _schema(rows: Path) -> Any:
    """The columns that occur; ids are numbers only if all are."""
    found, are_numbers = set[str](), True
    for record in map(parse_record, read_lines(rows)):
        found |= record.keys()
        are_numbers &= isinstance(record["id"], int) and abs(record["id"]) < 2**63
    return _schema_of([name for name in _COLUMNS if name in found or name in ("id", "tgt", "score")], are_numbers)


def _schema_of(columns: Sequence[str], are_numbers: bool) -> Any:
    import pyarrow

    text = pyarrow.string()
    hypothesis = pyarrow.struct([("tgt", text), ("score", pyarrow.float64())])
    types = {
        "id": pyarrow.int64() if are_numbers else text,
        "tgt": text,
        "score": pyarrow.float64(),
        "nbest": pyarrow.list_(hypothesis),
        "error": text,
    }
    return pyarrow.schema([(name, types[name]) for name in columns])


def _batches(records: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    left = iter(records)
    while batch := list(itertools.islice(left, _BATCH)):
        yield batch
