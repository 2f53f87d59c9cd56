"""Shards of an input, one for each task of a job array, and joining what they wrote.

Shards are runs of whole windows, in order, so the joined files are those of one process, byte by byte. Each shard
writes an output of its own, by a job of its own; `out.jsonl` of shard 3 of 8 is `out.shard-3-of-8.jsonl`.
"""

from __future__ import annotations

import hashlib
import math
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from s2s.data.files import suffix_of, without_suffixes
from s2s.data.tables import binary_rows
from s2s.durable import (
    WAY_OUT,
    check_target,
    claimed,
    flatten,
    hashed,
    refuse_unfinished,
    state_path,
    whole_file,
    write_whole,
    writing,
)
from s2s.errors import InputError
from s2s.generation.output_formats import rows_file, write_parquet
from s2s.json_files import dump_json, read_object

Item = TypeVar("Item")

_MOST = 1_000_000
_NOTHING = hashlib.sha256().hexdigest()
_FORM = re.compile(r"(\d{1,9})/(\d{1,9})")


@dataclass(frozen=True)
class Shard:
    """Shard `number` of `count`, from 1."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard that `I/N` names; InputError if it names none."""
        found = _FORM.fullmatch(text.strip())
        number, count = map(int, found.groups()) if found else (0, 0)
        if not 1 <= number <= count <= _MOST:
            raise InputError(f"--shard {text}: must be I/N with 1 <= I <= N <= {_MOST}, such as 3/8")
        return cls(number, count)

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def of(self, windows: int) -> range:
        """The windows of this shard, of so many; shards differ by one window at most."""
        return range(windows * (self.number - 1) // self.count, windows * self.number // self.count)

    def takes(self, number: int) -> bool:
        """Whether an item is of this shard, by its number from 0, where shards take them in turn."""
        return number % self.count == self.number - 1

    def part(self, items: Sequence[Item], window: int = 1) -> Sequence[Item]:
        """The items of this shard: whole windows, unless there are fewer of them than shards."""
        window = max(1, min(window, math.ceil(len(items) / self.count)))
        mine = self.of(math.ceil(len(items) / window))
        return items[mine.start * window : mine.stop * window]

    def path(self, output: Path) -> Path:
        """Where this shard writes of an output; InputError for one without a name."""
        if output.name in ("", ".."):
            raise InputError(f"{output}: is a folder; expected a name, from which each shard makes its own")
        name, end = _name_and_end(output)
        return output.with_name(f"{name}.shard-{self.number}-of-{self.count}{end}")


def _name_and_end(output: Path) -> tuple[str, str]:
    name = without_suffixes(output)
    return name, output.name[len(name) :] if suffix_of(output) else ""


class Joined(NamedTuple):
    """How many shards were joined, the lines of their inputs, and how many of these failed."""

    shards: int
    lines: int
    failed: int

    def __str__(self) -> str:
        failed = f", {self.failed:,} could not be used" if self.failed else ""
        return f"{self.shards} shards, {self.lines:,} lines{failed}"


def join_shards(output: Path, overwrite: bool = False, remove: bool = False) -> Joined:
    """Join the outputs of all shards into the output of one process, with its errors and its state.

    Args:
        output: As it was given to each shard.
        overwrite: Replace the output if it exists.
        remove: Remove what the shards wrote, once it is joined.

    Raises:
        InputError: shards are missing or not finished (all are named), are of different jobs or inputs, or were changed
            since; or the output exists or cannot be written.
    """
    shards = found_shards(output)
    with claimed(output):
        errors = output.with_name(f"{output.name}.errors.jsonl")
        for path in (output, errors, state_path(output)):
            check_target(path)
            if path.exists() and not overwrite:
                raise InputError(f"{path}: exists already; {WAY_OUT}")
        states = [_state(path) for path in shards]
        job = _common_job(shards, states)
        state_path(output).unlink(missing_ok=True)  # of an older output, which ends here
        if suffix_of(output) == ".parquet":
            _join_parquet(shards, output)
        else:
            _join_files(shards, output)
        failures = [path for shard in shards if (path := shard.with_name(f"{shard.name}.errors.jsonl")).exists()]
        if failures:
            _join_files(failures, errors)
        else:
            errors.unlink(missing_ok=True)
        counts = _sums([state["counts"] for state in states])
        _write_state(output, errors, job, states, counts)
    if remove:
        _remove([*shards, *failures, *map(state_path, shards)])
    return Joined(len(shards), counts.get("lines", 0), counts.get("failed", 0))


def found_shards(output: Path, is_finished: Callable[[Path], bool] | None = None) -> list[Path]:
    """The outputs of all shards, in order; InputError if some are missing or not finished, with their numbers."""
    found = shards_there(output)
    counts = sorted({shard.count for shard in found})
    if not counts:
        raise InputError(f"{output}: no shard of it is there; expected files such as {Shard(1, 8).path(output)}")
    if len(counts) > 1:
        listed = " and ".join(map(str, counts))
        raise InputError(f"{output}: there are shards of {listed}; remove those of another division")
    numbers = range(1, counts[0] + 1)
    there = {shard.number for shard in found}
    _refuse_those("are missing", output, [number for number in numbers if number not in there], counts)
    shards = [Shard(number, counts[0]).path(output) for number in numbers]
    finished = is_finished or _is_finished
    _refuse_those("are not finished", output, [n for n in numbers if not finished(shards[n - 1])], counts)
    return shards


def shards_there(output: Path) -> list[Shard]:
    """The shards that have written something of an output."""
    name, end = _name_and_end(output)
    form = re.compile(re.escape(name) + r"\.shard-(\d{1,7})-of-(\d{1,7})" + re.escape(end))
    with writing(output):
        names = [found for path in output.parent.iterdir() if (found := form.fullmatch(path.name))]
    return [Shard(int(found[1]), int(found[2])) for found in names]


def _is_finished(shard: Path) -> bool:
    try:
        refuse_unfinished(shard)
    except InputError as error:
        if "not finished" in str(error):
            return False
        raise
    return True


def _refuse_those(what: str, output: Path, numbers: Sequence[int], counts: Sequence[int]) -> None:
    if numbers:
        listed = ", ".join(_spans(numbers))
        raise InputError(f"{output}: of {counts[0]} shards, {len(numbers)} {what}: {listed}; run them, then join again")


def _spans(numbers: Sequence[int]) -> list[str]:
    """Rising numbers as text, runs of them as one: "2", "4-7"."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return [str(first) if first == last else f"{first}-{last}" for first, last in spans]


def _state(shard: Path) -> dict[str, Any]:
    state = read_object(state_path(shard))
    with open(shard, "rb") as file:
        if hashed(file).hexdigest() != state.get("sha256", {}).get("output", _NOTHING):
            raise InputError(f"{shard}: was changed since it was written; write it again")
    return state


def _common_job(shards: Sequence[Path], states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What one process would record as its job; InputError if two shards are of different ones."""
    first = _without_shard(states[0]["job"])
    inputs: dict[str, Any] = {}
    for path, state in zip(shards, states, strict=True):
        job = _without_shard(state["job"])
        old, new = flatten({**first, "input": {}}), flatten({**job, "input": {}})
        different = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        if different or _is_other_file(first["input"], job["input"]):
            what = different[0] if different else "input"
            raise InputError(f"{path}: is of another job than {shards[0].name}: {what} differs; write it again")
        inputs.update(job["input"] if isinstance(job["input"], Mapping) else {})
    return {**first, "input": inputs or first["input"]}


def _is_other_file(first: Any, other: Any) -> bool:
    """Whether these are inputs that all shards read whole, and not the same; a list of recordings is divided."""
    if isinstance(first, Mapping) and "sha256" not in first and isinstance(other, Mapping):
        return any(first[key] != other[key] for key in first.keys() & other.keys())
    return bool(first != other)


def _without_shard(job: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in job.items() if key != "shard"}


def _join_files(parts: Sequence[Path], output: Path) -> None:
    with whole_file(output) as file:
        for part in parts:
            with open(part, "rb") as content:
                shutil.copyfileobj(content, file, 1 << 20)


def _join_parquet(shards: Sequence[Path], output: Path) -> None:
    """One table of the rows of all, whose types follow from all of them."""
    rows = rows_file(output)
    with whole_file(rows) as file:
        for shard in shards:
            for row in binary_rows(shard, "parquet") if shard.stat().st_size else ():
                given = {key: value for key, value in row.record().items() if value is not None or key == "tgt"}
                file.write(f"{dump_json(given)}\n".encode())
    write_parquet(rows, output)
    rows.unlink()


def _sums(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    names = dict.fromkeys(key for one in counts for key in one)
    return {name: sum(one.get(name, 0) for one in counts) for name in names}


def _write_state(
    output: Path, errors: Path, job: Mapping[str, Any], states: Sequence[Mapping[str, Any]], counts: Mapping[str, int]
) -> None:
    """Record the job as one process does, so that its command finds it finished."""
    lengths, digests = {}, {}
    paths = {"output": output, "rows": rows_file(output), "errors": errors}
    for name in states[0]["lengths"]:
        path = paths[name]
        lengths[name], digests[name] = 0, _NOTHING
        if path.exists():
            with open(path, "rb") as file:
                lengths[name], digests[name] = path.stat().st_size, hashed(file).hexdigest()
    windows = sum(int(state["windows"]) for state in states)
    state = {"job": job, "windows": windows, "lengths": lengths, "counts": counts, "sha256": digests}
    write_whole(state_path(output), dump_json(state, indent=1).encode() + b"\n")


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        with suppress(FileNotFoundError), writing(path):
            path.unlink()
