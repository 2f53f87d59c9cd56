"""Reads hypotheses and references, and matches them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from s2s.data.files import suffix_of
from s2s.data.jsonl import id_field, read_records, text_field
from s2s.data.text_lines import read_text_lines
from s2s.data.tokenizer import wordpiece_join
from s2s.errors import InputError

_JSON_LINES = (".jsonl", ".json", ".ndjson")
_TABLES = (".csv", ".tsv", ".parquet", ".arrow")


@dataclass(frozen=True)
class Entry:
    """One line of a file of hypotheses or references.

    Args:
        where: File and line, for messages.
        id: The record's id as text, or None.
        text: The hypothesis ("" if there is none) or the reference.
        source: The source of a reference, if the file has it.
        failed: Decoding gave an error instead of a hypothesis.
    """

    where: str
    id: str | None
    text: str
    source: str | None = None
    failed: bool = False


def read_references(path: str | Path) -> list[Entry]:
    """References with their sources: JSON lines `{"id", "src", "tgt"}` (id and src may be missing), or plain lines."""
    if not _is_json_lines(path):
        entries = [Entry(where, None, text) for where, text in _plain_lines(path)]
        empty = next((entry for entry in entries if not entry.text), None)
        if empty:
            raise InputError(f"{empty.where}: the line is empty; expected a reference on every line")
        return entries
    return [
        Entry(
            where,
            id_field(record, where),
            _as_text(text_field(record, "tgt", where)),
            _as_text(text_field(record, "src", where)) if "src" in record else None,
        )
        for where, record in read_records(path)
    ]


def read_hypotheses(path: str | Path) -> list[Entry]:
    """Hypotheses: JSON lines `{"id", "tgt"}`, where null means failed decoding, or plain lines; they may be empty."""
    if not _is_json_lines(path):
        return [Entry(where, None, text) for where, text in _plain_lines(path)]
    entries = []
    for where, record in read_records(path):
        failed = "tgt" in record and record["tgt"] is None
        text = "" if failed or _is_blank(record.get("tgt")) else _as_text(text_field(record, "tgt", where))
        entries.append(Entry(where, id_field(record, where), text, failed=failed))
    return entries


def match(hypotheses: Sequence[Entry], references: Sequence[Entry], path: str, reference_path: str) -> list[Entry]:
    """The hypotheses in the order of the references.

    They are matched by id where both files have ids, else by line. The paths are for messages.

    Raises:
        InputError: only some records of a file have an id; an id occurs twice or has no partner; without ids, the files
            differ in length.
    """
    if not (_has_ids(hypotheses, path) and _has_ids(references, reference_path)):
        if len(hypotheses) != len(references):
            raise InputError(
                f"{path} has {len(hypotheses)} hypotheses, {reference_path} has {len(references)} references; "
                "without an id in both files they must be equally many, in the same order"
            )
        return list(hypotheses)
    by_id = _by_id(hypotheses, path)
    wanted = _by_id(references, reference_path)
    _refuse(path, f"of {len(wanted)} references have no hypothesis", [id for id in wanted if id not in by_id])
    _refuse(path, f"of {len(by_id)} hypotheses have no reference", [id for id in by_id if id not in wanted])
    return [by_id[id] for id in wanted]


def _is_json_lines(path: str | Path) -> bool:
    if suffix_of(path) in _TABLES:
        raise InputError(f"{path}: is a table by its name; expected JSON lines (.jsonl) or plain lines")
    return str(path) == "-" or suffix_of(path) in _JSON_LINES


def _plain_lines(path: str | Path) -> list[tuple[str, str]]:
    """`(where, text)` of every line, empty ones too."""
    lines = [(where, line.strip()) for where, line in read_text_lines(path)]
    where, first = next((line for line in lines if line[1]), ("", ""))
    if not first:
        raise InputError(f"{path}: all lines are empty; expected one text a line")
    if first.startswith("{") and first.endswith("}") and '"tgt"' in first:
        raise InputError(f"{where}: is a JSON record in a file of plain lines; give JSON lines a name in .jsonl")
    return lines


def _is_blank(value: object) -> bool:
    return value == [] or (isinstance(value, str) and not value.strip())


def _as_text(value: str | list[str]) -> str:
    return value if isinstance(value, str) else wordpiece_join(value)


def _has_ids(entries: Sequence[Entry], path: str) -> bool:
    without = [entry for entry in entries if entry.id is None]
    if 0 < len(without) < len(entries):
        raise InputError(
            f"{path}: {len(without)} of {len(entries)} records have no id, the first is {without[0].where}; "
            "expected an id in all of them, or in none"
        )
    return not without


def _by_id(entries: Sequence[Entry], path: str) -> dict[str, Entry]:
    counts = Counter(entry.id for entry in entries)
    _refuse(path, "ids occur more than once", [str(id) for id, count in counts.items() if count > 1])
    return {str(entry.id): entry for entry in entries}


def _refuse(path: str, complaint: str, ids: Sequence[str]) -> None:
    if ids:
        raise InputError(f"{path}: {len(ids)} {complaint}, the first is {ids[0]!r}")
