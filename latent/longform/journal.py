"""What is finished of a long job: records in a file beside its output, which a kill at any instant leaves readable."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from s2s.data.jsonl import Line, parse_record
from s2s.durable import write_whole
from s2s.errors import InputError


class Journal:
    """JSON records in the order in which they were added, behind a head that says which job it is.

    A record counts once its line is whole; the beginning of one that a kill has cut off is removed.

    Args:
        path: An existing file; `create` makes one.

    Raises:
        InputError: the file cannot be read or written, or is no journal.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.num_records = -1
        whole = 0
        try:
            with open(path, "r+b") as file:
                for line in file:
                    if line.endswith(b"\n"):
                        self.num_records += 1
                        whole += len(line)
                file.truncate(whole)
        except OSError as error:
            raise InputError(f"{path}: cannot be gone on with: {error.strerror}") from error
        if self.num_records < 0:
            raise InputError(f"{path}: is no journal of a job; remove it to begin anew")
        self.head = next(self._lines())

    @classmethod
    def create(cls, path: Path, head: Mapping[str, Any]) -> Journal:
        """A journal without records; it appears whole."""
        write_whole(path, _encode(head))
        return cls(path)

    def add(self, record: Mapping[str, Any]) -> None:
        """Append a record; it is on the disk when this returns.

        Raises:
            InputError: the disk takes no more; the records before stay.
        """
        try:
            with open(self.path, "ab") as file:
                file.write(_encode(record))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written: {error.strerror}") from error
        self.num_records += 1

    def records(self) -> Iterator[dict[str, Any]]:
        """All records, read from the file."""
        lines = self._lines()
        next(lines)
        return lines

    def remove(self) -> None:
        """The job is done."""
        self.path.unlink()

    def _lines(self) -> Iterator[dict[str, Any]]:
        with open(self.path, "rb") as file:
            for number, line in enumerate(file, start=1):
                yield parse_record(Line(number, line, f"{self.path}:{number}"))


def refuse_other_job(where: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Compare what two jobs depend on.

    Raises:
        InputError: they differ; names the first thing that does, and what it was.
    """
    old, new = _flatten(before), _flatten(now)
    for key in [*old, *new]:
        if old.get(key) != new.get(key):
            found = f"{key} was {json.dumps(old.get(key))}, now {json.dumps(new.get(key))}"
            raise InputError(
                f"{where}: was begun as another job ({found}); give --overwrite to begin anew, or another --output"
            )


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _encode(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"
