"""Decoding into a folder of parts, on a disk or at a URL; a part for each window, and the job continues by parts.

    FOLDER/part-000012.jsonl   outputs of window 12; .parquet if the folder's name ends so
    FOLDER/_errors.jsonl       when all is done: the input lines that could not be used, if there are any
    FOLDER/_job.json           which job this is; when all is done, with its counts
    FOLDER/_done/000012.json   that part 12 is whole, with its counts and errors
    FOLDER/_lock               held by the process that writes

Programs that read a folder of data leave out names that begin with `_`.
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from s2s.data.files import compression_of, suffix_of
from s2s.data.remote import Place, at, is_url, place_of
from s2s.durable import WAY_OUT, claimed, refuse_other_job, with_fingerprints
from s2s.errors import InputError
from s2s.generation.output import Batches, Window
from s2s.generation.output_formats import OutputFormat, encoded, write_part
from s2s.json_files import dump_json, parse_object

_BEAT_SECONDS = 20.0
_STALE_SECONDS = 120.0
"""Seconds after which a lock that nobody renews is that of a process which has ended."""


def is_parts_folder(output: str) -> bool:
    """Whether an output names a folder of parts: a URL, or a name that ends in a slash."""
    return is_url(output) or output.endswith(("/", os.sep))


def parts_format(output: str) -> OutputFormat:
    """The format of the parts; InputError for one that parts do not have."""
    name = output.rstrip("/" + os.sep)
    suffix = suffix_of(name)
    if suffix in (".csv", ".tsv", ".txt", ".text", ".arrow") or (suffix == ".parquet" and compression_of(name)):
        raise InputError(f"{output}: a folder of parts holds JSON lines or Parquet; name it so, as in out.parquet/")
    return "parquet" if suffix == ".parquet" else "jsonl"


@contextlib.contextmanager
def claimed_folder(output: str) -> Iterator[None]:
    """Lock a folder of parts; InputError if another process writes it."""
    if not is_url(output):
        folder = Path(output)
        with claimed(folder, folder / "_lock"):
            yield
        return
    place, mine = place_of(output), f"{uuid.uuid4()}"
    ended = threading.Event()
    with at(output, "cannot be written"):
        _refuse_lock(output, place)
        _renew(place, mine)
        time.sleep(0.2)  # whoever else has just found it free writes too, and the last one has it
        if _lock_of(place).get("owner") != mine:
            _refuse_lock(output, place)
    beat = threading.Thread(target=_keep, args=(place, mine, ended), daemon=True)
    beat.start()
    try:
        yield
    finally:
        ended.set()
        beat.join()
        with contextlib.suppress(Exception):
            if _lock_of(place).get("owner") == mine:
                place.system.rm_file(place.below("_lock"))


def _refuse_lock(output: str, place: Place) -> None:
    lock = _lock_of(place)
    age = time.time() - float(lock.get("time", 0))
    if lock and age < _STALE_SECONDS:
        who = f"{lock.get('host')}, {max(0, age):.0f} s ago"
        raise InputError(f"{output}: another process is writing it ({who}); wait for it, or choose another output")


def _lock_of(place: Place) -> dict[str, Any]:
    return _read(place, "_lock") or {}


def _renew(place: Place, owner: str) -> None:
    content = {"owner": owner, "host": socket.gethostname(), "time": time.time()}
    _write(place, "_lock", dump_json(content).encode())


def _keep(place: Place, owner: str, ended: threading.Event) -> None:
    while not ended.wait(_BEAT_SECONDS):
        with contextlib.suppress(Exception):  # the next beat may reach the storage again
            _renew(place, owner)


def _read(place: Place, name: str) -> dict[str, Any] | None:
    """A JSON object, or None if it is not there, or cut off by a kill."""
    try:
        return parse_object(place.system.cat_file(place.below(name)), name)
    except (FileNotFoundError, InputError):
        return None


def _write(place: Place, name: str, content: bytes) -> None:
    place.system.makedirs(os.path.dirname(place.below(name)), exist_ok=True)
    place.system.pipe_file(place.below(name), content)


class PartsFolder:
    """Output to a folder of parts. Methods: see `FileOutput`; windows may come in any order.

    Args:
        output: The folder.
        format: Of the parts.
        done: The counts and errors of the parts that are whole, by number.
        job: What `_job.json` holds.
    """

    def __init__(self, output: str, format: OutputFormat, done: dict[int, dict[str, Any]], job: dict[str, Any]) -> None:
        self._output, self._format, self._done, self._job = output, format, done, job
        self._place = place_of(output)

    @property
    def windows(self) -> int:
        return len(self._done)

    @property
    def counts(self) -> dict[str, int]:
        names = dict.fromkeys(name for part in self._done.values() for name in part["counts"])
        return {name: sum(part["counts"].get(name, 0) for part in self._done.values()) for name in names}

    def is_done(self, window: int) -> bool:
        return window in self._done

    def batches(self, window: int) -> Batches:
        return Batches()

    def write(self, number: int, window: Window) -> None:
        name = f"part-{number:06d}{_ending(self._output, self._format)}"
        facts = {"counts": window.counts, "errors": window.streams["errors"]}
        with at(self._output, "cannot be written"):
            if self._format == "parquet":
                content = io.BytesIO()
                write_part(window.streams["rows"], content)
                _write(self._place, name, content.getvalue())
            else:
                _write(self._place, name, encoded(window.streams["output"], name))
            _write(self._place, f"_done/{number:06d}.json", dump_json(facts).encode())  # last: so the part is whole
        self._done[number] = facts

    def close(self, windows: int) -> None:
        with at(self._output, "cannot be written"):
            errors = [line for number in sorted(self._done) for line in self._done[number]["errors"]]
            if errors:
                _write(self._place, "_errors.jsonl", "".join(f"{line}\n" for line in errors).encode())
            finished = {**self._job, "windows": windows, "counts": self.counts}
            _write(self._place, "_job.json", dump_json(finished, indent=1).encode() + b"\n")


def _ending(output: str, format: OutputFormat) -> str:
    return ".parquet" if format == "parquet" else f".jsonl{compression_of(output.rstrip('/' + os.sep))}"


def open_parts(output: str, format: OutputFormat, job: Mapping[str, Any], overwrite: bool) -> tuple[Any, PartsFolder]:
    """A folder of parts to start or to continue.

    Args:
        output: The folder, which this process has claimed.
        format: Of the parts.
        job: What identifies the job, see `open_output`.
        overwrite: Start again, whatever parts are there.

    Returns:
        The job as it was first recorded, and the output.

    Raises:
        InputError: the folder is of another job, or cannot be used.
    """
    place = place_of(output)
    with at(output, "cannot be written"):
        state = _read(place, "_job.json")
        names = [path.rstrip("/").rpartition("/")[2] for path in _list(place, "")]
        if overwrite:
            _discard(place, names)
            state, names = None, []
        if state is None and any(name.startswith(("part-", "_done", "_job")) or name[0] not in "_." for name in names):
            raise InputError(f"{output}: holds files already, which are not of this job; {WAY_OUT}")
        known = state and state.get("job")
        now = with_fingerprints(job, known)
        if known is not None:
            refuse_other_job(output, _compared(known), _compared(now))
        else:
            known = now
            _write(place, "_job.json", dump_json({"job": now}, indent=1).encode() + b"\n")
        done = {}
        for path in _list(place, "_done"):
            number = path.rpartition("/")[2].removesuffix(".json")
            facts = _read(place, f"_done/{number}.json") if number.isdigit() else None
            if facts is not None and {"counts", "errors"} <= facts.keys():
                done[int(number)] = facts
        return known, PartsFolder(output, format, done, {"job": known})


def _list(place: Place, name: str) -> list[str]:
    path = place.below(name) if name else place.path
    return list(place.system.ls(path, detail=False)) if place.system.exists(path) else []


def _discard(place: Place, names: list[str]) -> None:
    """Remove the files of a job; others stay."""
    for name in names:
        if name.startswith("part-") or name in ("_done", "_job.json", "_errors.jsonl"):
            place.system.rm(place.below(name), recursive=True)


def _compared(job: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in job.items() if key != "window"}
