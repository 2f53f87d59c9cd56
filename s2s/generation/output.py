"""Where decoding writes: a pipe, or files with which a job continues that was killed at any instant.

Input lines are decoded in windows. The result of a window is a list of lines for each stream (output, errors, trace).

    OUTPUT                     outputs of the windows so far, in the input's order; if compressed, each is a member
    OUTPUT.rows.jsonl          the same for a Parquet file, which is written at the end, whole
    OUTPUT.errors.jsonl        the input lines that could not be used, if there are any
    OUTPUT.state.json          which job this is, how many windows are in the files, and the lengths of the files
    OUTPUT.lock                held by the process that writes; left behind if it is killed
    OUTPUT.parts/000012.journal    batches of window 12 done so far
    OUTPUT.parts/000012.window     window 12, complete; the first rank moves it into the files, in order

Files only grow, and the state is replaced in one instant after them. A job that continues cuts the files to the lengths
in the state, and loses at most the batch that was being decoded.
"""

from __future__ import annotations

import io
import logging
import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from s2s.durable import (
    WAY_OUT,
    Journal,
    append,
    hashed,
    parts_folder,
    refuse_other_job,
    state_path,
    with_fingerprints,
    write_whole,
    writing,
)
from s2s.errors import InputError
from s2s.generation.output_formats import encoded, write_parquet
from s2s.json_files import dump_json, read_object

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.1


class Window(NamedTuple):
    """The result of a window: lines for each stream, in the input's order, and counts to add up."""

    streams: dict[str, list[str]]
    counts: dict[str, int]


class Batches:
    """The finished batches of one window, also in a journal if there is one."""

    def __init__(self, journal: Journal | None = None) -> None:
        self._journal = journal
        self.done: dict[int, Any] = {record["batch"]: record["rows"] for record in journal or ()}

    def add(self, number: int, rows: Any) -> None:
        """Keep the result of a batch, which JSON must be able to hold."""
        if self._journal is not None:
            self._journal.add({"batch": number, "rows": rows})
        self.done[number] = rows


class PipeOutput:
    """Output as it comes, to standard output or a new file; a killed job starts again. Methods: see `FileOutput`.

    Args:
        paths: The file of each stream, `-` for standard output, None for nowhere.
    """

    def __init__(self, paths: Mapping[str, str | None]) -> None:
        self.windows = 0
        self.counts: dict[str, int] = {}
        self._paths = paths
        self._files: dict[str, BinaryIO] = {}

    def is_done(self, window: int) -> bool:
        return False

    def batches(self, window: int) -> Batches:
        return Batches()

    def write(self, number: int, window: Window) -> None:
        for name, lines in window.streams.items():
            path = self._paths[name]
            if lines and path is not None:
                with writing(path):
                    file = self._file(path)
                    file.write(encoded(lines, path))
                    file.flush()
        self.counts = _add(self.counts, window.counts)

    def close(self, windows: int) -> None:
        for file in self._files.values():
            file.close()
        if windows and (rows := self._paths.get("rows")):
            write_parquet(Path(rows), Path(str(self._paths["output"])))
            Path(rows).unlink()

    def _file(self, path: str) -> BinaryIO:
        if path == "-":
            return sys.stdout.buffer
        if path not in self._files:
            self._files[path] = open(path, "wb")  # noqa: SIM115
        return self._files[path]


class FileOutput:
    """Output to files that a later process can continue; see `open_output`.

    Args:
        paths: The file of each stream.
        first: Whether this is the rank that writes the files; the others leave their windows to it.
        state: The content of the state file.
    """

    def __init__(self, paths: Mapping[str, Path], first: bool, state: dict[str, Any]) -> None:
        self._paths = paths
        self._first = first
        self._keep(state)
        self._parts = parts_folder(paths["output"])
        self._digests = _digests(paths, state) if first else {}
        with writing(self._parts):
            self._parts.mkdir(exist_ok=True)

    def is_done(self, window: int) -> bool:
        """Whether a window needs no more work."""
        if window < self.windows or self._complete(window).exists():
            return True
        if not self._first:  # the first rank may have moved it just now; it writes the state before it removes a window
            self._keep(_read_state(self._paths["output"]) or self._state)
        return window < self.windows

    def batches(self, window: int) -> Batches:
        """The finished batches of an unfinished window."""
        return Batches(Journal(self._parts / f"{window:06d}.journal"))

    def write(self, number: int, window: Window) -> None:
        """Take a whole window."""
        path = self._complete(number)
        write_whole(path, dump_json(window._asdict()).encode())
        path.with_suffix(".journal").unlink(missing_ok=True)
        if self._first:
            self._move_complete_windows()

    def close(self, windows: int) -> None:
        """Finish an input of `windows` windows; the first rank waits until all are in the files."""
        while self._first and self.windows < windows:
            self._move_complete_windows()
            time.sleep(_POLL_SECONDS)
        if self._first:
            self._write_parquet()
            shutil.rmtree(self._parts, ignore_errors=True)

    def _write_parquet(self) -> None:
        """Make a Parquet file of its rows, unless it is made; then they are removed."""
        rows, output = self._paths.get("rows"), self._paths["output"]
        if rows is None:
            return
        if self._state["lengths"]["rows"] or not output.exists():
            write_parquet(rows, output)
            with open(output, "rb") as file:
                digest = hashed(file).hexdigest()
            changed = {
                "lengths": {**self._state["lengths"], "output": output.stat().st_size, "rows": 0},
                "sha256": {**self._state.get("sha256", {}), "output": digest, "rows": hashed(io.BytesIO()).hexdigest()},
            }
            self._keep({**self._state, **changed})
            _write_state(output, self._state)
        rows.unlink(missing_ok=True)

    def _keep(self, state: dict[str, Any]) -> None:
        self._state = state
        self.windows = int(state["windows"])
        self.counts: dict[str, int] = dict(state["counts"])  # sums over these windows

    def _complete(self, window: int) -> Path:
        return self._parts / f"{window:06d}.window"

    def _move_complete_windows(self) -> None:
        while (path := self._complete(self.windows)).exists():
            window = Window(**read_object(path))
            lengths = dict(self._state["lengths"])
            for name, lines in window.streams.items():
                if lines:
                    content = encoded(lines, self._paths[name])
                    lengths[name] = append(self._paths[name], content)
                    self._digests[name].update(content)
            changed = {
                "windows": self.windows + 1,
                "lengths": lengths,
                "sha256": {name: digest.hexdigest() for name, digest in self._digests.items()},
                "counts": _add(self.counts, window.counts),
            }
            self._keep({**self._state, **changed})
            _write_state(self._paths["output"], self._state)
            path.unlink()


def open_output(
    paths: Mapping[str, Path], first: bool, job: dict[str, Any], overwrite: bool
) -> tuple[dict[str, Any], FileOutput]:
    """Files to start or to continue; the first rank must call this before the others do.

    Args:
        paths: The file of each stream; the name of the state file begins with that of "output".
        first: Whether this is the rank that writes.
        job: What identifies the job: "input", "settings" and "window". One that continues keeps its first window size.
        overwrite: Start again, whatever the files hold.

    Returns:
        The job as its state records it, and the output.

    Raises:
        InputError: the files belong to another job, or were changed since.
    """
    output = paths["output"]
    if not first:
        state = _read_state(output)
        assert state is not None, "the first rank has written it"
        return state["job"], FileOutput(paths, first, state)
    if overwrite:
        discard(paths)
    state = _read_state(output)
    now = with_fingerprints(job, state and state["job"])
    if state is not None and _is_worthless(output, state) and _compared(state["job"]) != _compared(now):
        discard(paths)
        state = None
    if state is None:
        refuse_existing(paths)
        shutil.rmtree(parts_folder(output), ignore_errors=True)
        state = {"job": now, "windows": 0, "lengths": dict.fromkeys(paths, 0), "counts": {}}
        _write_state(output, state)
        with writing(output):
            paths.get("rows", output).touch()
    else:
        refuse_other_job(output, _compared(state["job"]), _compared(now))
        _cut_back(paths, state["lengths"])
    return state["job"], FileOutput(paths, first, state)


def _is_worthless(output: Path, state: Mapping[str, Any]) -> bool:
    """Whether a job has made nothing: its input was empty, or no line of it could be used."""
    counts = state["counts"]
    return counts.get("lines", 0) == counts.get("failed", 0) and not any(parts_folder(output).glob("*"))


def _compared(job: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in job.items() if key != "window"}  # a job keeps its first size of windows


def refuse_existing(paths: Mapping[str, Path]) -> None:
    """Raise InputError if one of the files is there."""
    for path in paths.values():
        if path.exists():
            raise InputError(f"{path}: exists already, and is not of this job; {WAY_OUT}")


def discard(paths: Mapping[str, Path]) -> None:
    """Remove the files of a job with its state and parts."""
    with writing(paths["output"]):
        for path in (state_path(paths["output"]), *paths.values()):
            path.unlink(missing_ok=True)
    shutil.rmtree(parts_folder(paths["output"]), ignore_errors=True)


def _cut_back(paths: Mapping[str, Path], lengths: Mapping[str, int]) -> None:
    if lengths.get("rows", 0):  # a Parquet file that nothing is known of
        paths["output"].unlink(missing_ok=True)
    for name, path in paths.items():
        length = lengths.get(name, 0)
        size = path.stat().st_size if path.exists() else 0
        if size < length:
            raise InputError(f"{path}: has {size} bytes, {length} were written; it was changed since; {WAY_OUT}")
        if size > length:
            with writing(path):
                os.truncate(path, length)


def _digests(paths: Mapping[str, Path], state: Mapping[str, Any]) -> dict[str, Any]:
    """Running hashes of the files, checked against those in the state (in which a former version has none)."""
    digests = {}
    for name, path in paths.items():
        with open(path, "rb") if path.exists() else io.BytesIO() as file:
            digests[name] = hashed(file)
        if digests[name].hexdigest() != state.get("sha256", {}).get(name, digests[name].hexdigest()):
            raise InputError(f"{path}: was changed since it was written; {WAY_OUT}")
    return digests


def _read_state(output: Path) -> dict[str, Any] | None:
    """The content of the state file, or None without one; InputError if it is not one."""
    path = state_path(output)
    if not path.exists():
        return None
    try:
        state = read_object(path)
    except InputError as error:
        raise InputError(f"{error}; {WAY_OUT}") from error
    if not {"job", "windows", "lengths", "counts"} <= state.keys():
        raise InputError(f"{path}: is not the state of a decoding job; {WAY_OUT}")
    return state


def _write_state(output: Path, state: dict[str, Any]) -> None:
    write_whole(state_path(output), dump_json(state, indent=1).encode() + b"\n")


def _add(counts: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    return {key: counts.get(key, 0) + more.get(key, 0) for key in dict.fromkeys([*counts, *more])}
