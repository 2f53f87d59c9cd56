"""Reads hypotheses and references, and matches them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2s.data.fields import PSEUDO_TARGET, TARGET, Fields, TextField, value_at
from s2s.data.jsonl import id_field
from s2s.data.records import Records, open_records
from s2s.data.tokenizer import wordpiece_join
from s2s.errors import InputError
from s2s.json_files import describe


@dataclass(frozen=True)
class Entry:
    """One line of a file of hypotheses or references.

    Args:
        where: File and line, for messages.
        id: The record's id as text, or None.
        text: The hypothesis ("" if there is none) or the reference.
        source: The source of a reference, if the file has it.
        failed: Decoding gave an error instead of a hypothesis.
        group: The value of the field by which references are scored, if one is named.
    """

    where: str
    id: str | None
    text: str
    source: str | None = None
    failed: bool = False
    group: str | None = None


def read_references(path: str | Path, fields: Fields, by: str | None = None) -> list[Entry]:
    """References with their sources, which may be missing, from any input that `open_records` reads.

    `by` is the field or path whose value is the group of a reference.
    """
    records = open_records(path, "test", text_record=_as_target)
    if records.format == "text":
        if by is not None:
            raise InputError(f"--by {by}: needs references with fields, found plain lines in {records.name}")
        entries = _plain_lines(records)
        empty = next((entry for entry in entries if not entry.text), None)
        if empty:
            raise InputError(f"{empty.where}: the line is empty; expected a reference on every line")
        return entries
    entries, chosen = [], None
    for where, record in records:
        source, target = chosen = chosen or fields.of(record, where)
        text = _as_text(target.text(record, where))
        said = _as_text(source.text(record, where)) if source.is_in(record) else None
        group = None if by is None else _group(record, by, where)
        entries.append(Entry(where, id_field(record, where), text, said, group=group))
    return entries


def _group(record: dict[str, Any], by: str, where: str) -> str:
    value = value_at(record, by, where)
    if not isinstance(value, str | int):
        raise InputError(f"{where}: {by!r} must be a text or a whole number to score by, found {describe(value)}")
    return str(value)


def read_hypotheses(path: str | Path, fields: Fields) -> list[Entry]:
    """Hypotheses, which may be empty; one that is null, or has an error beside it, is one that failed.

    They are in the field `tgt`, as decoding writes them, or in that of the references; pseudo-labels in `tgt_pseudo`.
    """
    records = open_records(path, "test", text_record=_as_target)
    if records.format == "text":
        return _plain_lines(records)
    entries, chosen = [], None
    for where, record in records:
        chosen = chosen or _field_of_hypotheses(record, fields)
        value, failed = record.get(chosen.written), chosen.is_in(record) and _has_failed(record, chosen)
        text = "" if failed or _is_blank(value) else _as_text(chosen.text(record, where))
        entries.append(Entry(where, id_field(record, where), text, failed=failed))
    return entries


def _field_of_hypotheses(record: dict[str, Any], fields: Fields) -> TextField:
    if (labels := TextField(PSEUDO_TARGET)).is_in(record):
        return labels
    usual = TextField(TARGET, "--target-field names another field")
    found = fields.target_of(record)
    return found if found.is_in(record) and not usual.is_in(record) else usual


def _has_failed(record: dict[str, Any], field: TextField) -> bool:
    return record.get(field.written, "") is None or bool(record.get("error"))


def _as_target(text: str) -> dict[str, Any]:
    return {TARGET: text}


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


def _plain_lines(records: Records) -> list[Entry]:
    """The text of every line, empty ones too."""
    entries = [Entry(where, None, record[TARGET].strip()) for where, record in records]
    if not any(entry.text for entry in entries):
        raise InputError(f"{records.name}: all lines are empty; expected one text a line")
    return entries


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
