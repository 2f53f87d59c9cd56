"""Pairs from plain files: tables, parallel text, and the JSON lines of s2s-ft."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from data_prep.corpus_writer import CorpusWriter, Pair
from s2s.data.jsonl import id_field, read_records, text_field
from s2s.data.text_lines import read_text_lines
from s2s.errors import InputError


def write(folder: Path, title: str, splits: Mapping[str, Iterator[Pair]]) -> str:
    """Write the pairs of each split; returns the summary.

    Raises:
        InputError: there is no split, or reading one fails.
    """
    if not splits:
        raise InputError("--train, --valid, --test: at least one must be given")
    with CorpusWriter(folder, title, [f"Made from {title.lower()} of the splits {', '.join(splits)}."]) as writer:
        for split, pairs in splits.items():
            for pair in pairs:
                writer.add(split, pair)
    return writer.summary


def read_table(path: Path, source_column: str, target_column: str, split: str) -> Iterator[Pair]:
    """Pairs of a file of tab-separated columns. Cells are text as they are: quotes, NA and 007 have no meaning.

    Args:
        source_column, target_column: Numbers from 1; or names, and then the first line holds names.
        split: First part of the ids.

    Raises:
        InputError: a line has too few columns, or the first line lacks a name.
    """
    lines = read_text_lines(path)
    if all(re.fullmatch("[0-9]{1,6}", column) for column in (source_column, target_column)):
        columns = [int(source_column) - 1, int(target_column) - 1]
        if min(columns) < 0:
            raise InputError("--source-column, --target-column: columns are counted from 1, got 0")
    else:
        where, header = next(lines)
        columns = [_find(name, header.split("\t"), where) for name in (source_column, target_column)]
    for number, (where, line) in enumerate(lines, start=1):
        cells = line.split("\t")
        if line.strip() and len(cells) <= max(columns):
            raise InputError(f"{where}: expected at least {max(columns) + 1} columns between tabs, found {len(cells)}")
        source, target = (cells[column] if line.strip() else "" for column in columns)
        yield Pair(f"{split}-{number}", source, target)


def _find(name: str, header: list[str], where: str) -> int:
    if name not in header:
        raise InputError(f"{where}: no column is called {name!r}; found {', '.join(map(repr, header))}")
    return header.index(name)


def read_parallel(source: Path, target: Path, split: str) -> Iterator[Pair]:
    """Pairs of two files, line N of one to line N of the other.

    Raises:
        InputError: one file has more lines than the other.
    """
    lines = itertools.zip_longest(read_text_lines(source), read_text_lines(target))
    for number, (source_line, target_line) in enumerate(lines, start=1):
        if source_line is None or target_line is None:
            shorter, longer = (source, target) if source_line is None else (target, source)
            raise InputError(f"{longer}:{number}: {shorter} ends before this line; expected as many lines in both")
        yield Pair(f"{split}-{number}", source_line[1], target_line[1])


def read_s2s_ft(path: Path, split: str) -> Iterator[Pair]:
    """Pairs of a file for s2s-ft: `{"src": ..., "tgt": ...}` a line, each a string or a list of tokens."""
    for number, (where, record) in enumerate(read_records(path), start=1):
        source, target = text_field(record, "src", where), text_field(record, "tgt", where)
        if isinstance(source, list) != isinstance(target, list):
            raise InputError(f"{where}: 'src' and 'tgt' must both be strings or both be lists of tokens")
        yield Pair(id_field(record, where) or f"{split}-{number}", source, target)
