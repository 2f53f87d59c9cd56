"""Where decoding writes: files that a kill at any instant leaves fit to be continued, or a pipe.

Input lines are decoded in windows. What a window gives is one list of lines for each stream (outputs, errors, traces).

    OUTPUT                     outputs of the windows so far, in the input's order
    OUTPUT.errors.jsonl        the input lines that could not be used, if there are any
    OUTPUT.state.json          which job this is, how many windows are in the files, and how long the files then are
    OUTPUT.lock                held by the process that writes; there only while one does, or after it was killed
    OUTPUT.parts/000012.journal    batches of window 12 done so far
    OUTPUT.parts/000012.window     window 12, complete; the first rank moves it into the files, in order

Files only grow, and the state is replaced in one instant after them; so whoever starts again cuts the files to the
lengths that the state tells and loses, at most, the batch that was being decoded.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

from s2s.durable import WAY_OUT, Journal, append, beside, refuse_other_job, with_fingerprints, write_whole, writing
from s2s.errors import InputError
from s2s.json_files import dump_json, read_object

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.1


class Window(NamedTuple):
    """What a window of input lines gave: lines for each stream, in the input's order, and counts to add up."""

    streams: dict[str, list[str]]
    counts: dict[str, int]


class Batches:
    """The batches of one window that are done already, in a journal if there is one.

    Args:
        journal: Keeps them as they come.
    """

    def __init__(self, journal: Journal | None = None) -> None:
        self._journal = journal
        self.done: dict[int, Any] = {record["batch"]: record["rows"] for record in journal or ()}

    def add(self, number: int, rows: Any) -> None:
        """Keep the result of a batch, anything that JSON can hold."""
        if self._journal is not None:
            self._journal.add({"batch": number, "rows": rows})
        self.done[number] = rows


class Output(Protocol):
    """Where windows go."""

    @property
    def windows(self) -> int:
        """How many windows are in the files."""

    @property
    def counts(self) -> dict[str, int]:
        """Sums over all windows written."""

    def is_done(self, window: int) -> bool:
        """Whether a window needs no more work."""

    def batches(self, window: int) -> Batches:
        """What is known of an unfinished window."""

    def write(self, number: int, window: Window) -> None:
        """Take a whole window."""

    def close(self, windows: int) -> None:
        """Finish. `windows` is how many the input had; the first rank waits until all are in the files."""


class PipeOutput:
    """Output as it comes, to standard output or a new file; a killed job begins anew.

    Args:
        paths: The file of each stream, `-` for standard output, None for nowhere.
    """

    def __init__(self, paths: Mapping[str, str | None]) -> None:
        self._counts: dict[str, int] = {}
        self._paths = paths
        self._files: dict[str, BinaryIO] = {}

    @property
    def windows(self) -> int:
        return 0

    @property
    def counts(self) -> dict[str, int]:
        return self._counts

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
                    file.write(_encode(lines))
                    file.flush()
        self._counts = _add(self._counts, window.counts)

    def close(self, windows: int) -> None:
        for file in self._files.values():
            file.close()

    def _file(self, path: str) -> BinaryIO:
        if path == "-":
            return sys.stdout.buffer
        if path not in self._files:
            self._files[path] = open(path, "wb")  # noqa: SIM115
        return self._files[path]


class FileOutput:
    """Output to files that a later process can continue; `open_output` makes one.

    Args:
        paths: The file of each stream.
        first: Whether this is the rank that writes the files; the others leave their windows to it.
        state: What the state file says.
    """

    def __init__(self, paths: Mapping[str, Path], first: bool, state: dict[str, Any]) -> None:
        self._paths = paths
        self._first = first
        self._state = state
        self._parts = parts_folder(paths["output"])
        self._digests = _digests(paths, state) if first else {}
        with writing(self._parts):
            self._parts.mkdir(exist_ok=True)

    @property
    def windows(self) -> int:
        return int(self._state["windows"])

    @property
    def counts(self) -> dict[str, int]:
        """Sums over all windows written."""
        return dict(self._state["counts"])

    def is_done(self, window: int) -> bool:
        if window < self._state["windows"] or self._complete(window).exists():
            return True
        if not self._first:  # the first rank may have moved it just now; it writes the state before it removes a window
            self._state = read_state(self._paths["output"]) or self._state
        return bool(window < self._state["windows"])

    def batches(self, window: int) -> Batches:
        return Batches(Journal(self._parts / f"{window:06d}.journal"))

    def write(self, number: int, window: Window) -> None:
        path = self._complete(number)
        write_whole(path, dump_json(window._asdict()).encode())
        path.with_suffix(".journal").unlink(missing_ok=True)
        if self._first:
            self._move_complete_windows()

    def close(self, windows: int) -> None:
        while self._first and self._state["windows"] < windows:
            self._move_complete_windows()
            time.sleep(_POLL_SECONDS)
        if self._first:
            shutil.rmtree(self._parts, ignore_errors=True)

    def _complete(self, window: int) -> Path:
        return self._parts / f"{window:06d}.window"

    def _move_complete_windows(self) -> None:
        while (path := self._complete(self._state["windows"])).exists():
            window = Window(**read_object(path))
            lengths = dict(self._state["lengths"])
            for name, lines in window.streams.items():
                if lines:
                    content = _encode(lines)
                    lengths[name] = append(self._paths[name], content)
                    self._digests[name].update(content)
            self._state = {
                **self._state,
                "windows": self._state["windows"] + 1,
                "lengths": lengths,
                "sha256": {name: digest.hexdigest() for name, digest in self._digests.items()},
                "counts": _add(self._state["counts"], window.counts),
            }
            write_state(self._paths["output"], self._state)
            path.unlink()


def open_output(
    paths: Mapping[str, Path], first: bool, job: dict[str, Any], overwrite: bool
) -> tuple[dict[str, Any], FileOutput]:
    """Files to begin, or to go on with; the other ranks call it after the first one has.

    Args:
        paths: The file of each stream; "output" is the one that names the state.
        first: Whether this is the rank that writes.
        job: Says which job this is: "input", "settings" and "window". A job that goes on keeps its first window size.
        overwrite: Begin anew whatever there is.

    Returns:
        The job as its state has it, and the output.

    Raises:
        InputError: the files are another job's, or were changed since.
    """
    output = paths["output"]
    if not first:
        state = read_state(output)
        assert state is not None, "the first rank has written it"
        return state["job"], FileOutput(paths, first, state)
    if overwrite:
        discard(paths)
    state = read_state(output)
    now = with_fingerprints(job, state and state["job"])
    if state is not None and _is_worthless(output, state) and _compared(state["job"]) != _compared(now):
        discard(paths)
        state = None
    if state is None:
        refuse_existing(paths)
        shutil.rmtree(parts_folder(output), ignore_errors=True)
        state = {"job": now, "windows": 0, "lengths": dict.fromkeys(paths, 0), "counts": {}}
        write_state(output, state)
        with writing(output):
            output.touch()
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
    """Remove the files of a job and what belongs to them."""
    with writing(paths["output"]):
        state_path(paths["output"]).unlink(missing_ok=True)
        for path in paths.values():
            path.unlink(missing_ok=True)
    shutil.rmtree(parts_folder(paths["output"]), ignore_errors=True)


def _cut_back(paths: Mapping[str, Path], lengths: Mapping[str, int]) -> None:
    for name, path in paths.items():
        length = lengths.get(name, 0)
        size = path.stat().st_size if path.exists() else 0
        if size < length:
            raise InputError(f"{path}: has {size} bytes, {length} were written; it was changed since; {WAY_OUT}")
        if size > length:
            with writing(path):
                os.truncate(path, length)


def _digests(paths: Mapping[str, Path], state: Mapping[str, Any]) -> dict[str, Any]:
    """Running hashes of the files, checked against those that the state has (the former version's has none)."""
    digests = {}
    for name, path in paths.items():
        digests[name] = hashlib.sha256()
        if path.exists():
            with open(path, "rb") as file:
                while block := file.read(1 << 20):
                    digests[name].update(block)
        if digests[name].hexdigest() != state.get("sha256", {}).get(name, digests[name].hexdigest()):
            raise InputError(f"{path}: was changed since it was written; {WAY_OUT}")
    return digests


def state_path(output: Path) -> Path:
    """The file that says which job an output is of, and how far it is."""
    return beside(output, "state.json")


def parts_folder(output: Path) -> Path:
    """The folder of what is not in the output yet."""
    return beside(output, "parts")


def read_state(output: Path) -> dict[str, Any] | None:
    """What the state file says, or None if there is none.

    Raises:
        InputError: the file is no state file.
    """
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


def write_state(output: Path, state: dict[str, Any]) -> None:
    """Replace the state file, in one instant."""
    write_whole(state_path(output), dump_json(state, indent=1).encode() + b"\n")


def _encode(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _add(counts: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    return {key: counts.get(key, 0) + more.get(key, 0) for key in dict.fromkeys([*counts, *more])}
