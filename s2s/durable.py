"""The parts of jobs that survive a kill at any instant: claims, whole files, journals, and telling jobs apart."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from filelock import lock_descriptor

from s2s.errors import InputError
from s2s.json_files import dump_json, parse_object, read_object

logger = logging.getLogger(__name__)

WAY_OUT = "give --overwrite to replace it, or another --output"
"""How a message ends that refuses to write over something."""

_WINDOWS = os.name == "nt"
_BLOCK = 1 << 20
_LARGE = 1 << 24
"""Size in bytes above which reading a file takes noticeable time."""
_FRESH = 2_000_000_000
"""Nanoseconds in which a file may change again without a change of its time stamps."""
_LONGEST = 45
"""Maximum number of characters of a value in a message."""


@contextlib.contextmanager
def claimed(output: Path, lock: Path | None = None) -> Iterator[None]:
    """Lock an output against other processes. The system releases the lock when this process ends, however it ends.

    Args:
        output: The file or folder to be written.
        lock: The lock file; missing folders are created, and removed if nothing is left in them. The default is
            OUTPUT.lock, for an `output` that is a regular file.

    Raises:
        InputError: another process holds the lock, or no file can be written there.
    """
    if lock is None:
        check_target(output)
    path, made = lock or beside(output, "lock"), list[Path]()
    with contextlib.ExitStack() as stack:
        if _WINDOWS:  # where an open file cannot be removed: by us at the end, nor by us while another process has it
            stack.callback(_remove_lock, path)
        while True:
            with writing(output):
                made += [folder for folder in path.parents if folder not in made and not folder.exists()]
                path.parent.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(open(path, "ab", opener=_without_links))
            if not _lock(file, output):
                raise InputError(f"{output}: another process is writing it; wait for it, or choose another output")
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(path.lstat(), os.fstat(file.fileno())):
                    break  # otherwise its last holder has just removed it
        for folder in reversed(made):
            stack.callback(_remove_empty, folder)
        stack.callback(_remove_lock, path)
        yield


def _lock(file: BinaryIO, output: Path) -> bool:
    """Whether we have the lock, or the file system knows no locks."""
    try:
        return lock_descriptor(file.fileno(), blocking=False)
    except OSError as error:
        logger.warning("%s: cannot be locked (%s); make sure no other job writes it", output, error.strerror)
        return True


def _remove_lock(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError, PermissionError):
        path.unlink()


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # it holds something
        folder.rmdir()


@contextlib.contextmanager
def resumable() -> Iterator[None]:
    """A block that the same command continues after Ctrl-C or SIGTERM: they exit with a line that says so."""

    def terminate(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():  # only the main thread receives signals
        yield
        return
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except KeyboardInterrupt:
        logger.warning("interrupted; the same command continues it")
        raise SystemExit(128 + signal.SIGINT) from None
    except SystemExit as stop:
        if stop.code == 128 + signal.SIGTERM:
            logger.warning("terminated; the same command continues it")
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which gets its name when the block ends; a block that fails leaves nothing.

    Raises:
        InputError: it cannot be written, or something other than a regular file has its name.
    """
    check_target(path)
    unfinished = beside(path, "unfinished")
    with writing(path):
        unfinished.unlink(missing_ok=True)  # left by a process that was killed
        try:
            with open(unfinished, "xb", opener=_without_links) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all; errors as for `whole_file`."""
    with whole_file(path) as file:
        file.write(content)


def append(path: Path, content: bytes) -> int:
    """Add to a file, and return its new length once it is on the disk; InputError if it cannot be written."""
    with writing(path), open(path, "ab", opener=_without_links) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        return file.tell()


class Journal:
    """JSON records in a file. Opening it removes a last line that was cut off by a kill.

    Raises:
        InputError: the file cannot be read or written, by any method; earlier records stay.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with writing(path), open(path, "a+b", opener=_without_links) as file:
            file.seek(0)
            file.truncate(sum(len(line) for line in file if line.endswith(b"\n")))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return read_journal(self.path)

    def add(self, record: Mapping[str, Any]) -> None:
        """Append a record, which is on the disk when this returns."""
        append(self.path, dump_json(record).encode() + b"\n")

    def remove(self) -> None:
        """Delete the file, when the job is done."""
        self.path.unlink()


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a journal that another process may be writing, if any; InputError if one cannot be read."""
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                if line.endswith(b"\n") and line.strip():
                    yield parse_object(line, f"{path}:{number}")
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def fingerprint(path: str | Path, known: Any = None) -> dict[str, Any]:
    """What identifies the content of a file: its size in bytes and its SHA-256.

    Hashing takes about a second per GB, so the fingerprint of a large file also has "seen", its inode and time stamps.

    Args:
        path: A file.
        known: An earlier fingerprint, or anything else. It is returned if it has the file's inode, time stamps and size
            (then the file is not read), or if a former version made it and it fits.

    Raises:
        InputError: the file cannot be read.
    """
    known = known if isinstance(known, dict) else {}
    try:
        with open(path, "rb") as file:
            stat = os.fstat(file.fileno())
            seen = [stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns]
            if known.get("seen") == seen and known.get("bytes") == stat.st_size:
                return dict(known)
            digest = hashed(file).hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if "seen" not in known and known.get("bytes") == stat.st_size and known == former_fingerprint(path):
        return dict(known)
    settled = time.time_ns() - stat.st_ctime_ns > _FRESH
    found = {"bytes": stat.st_size, "sha256": digest}
    return {**found, "seen": seen} if stat.st_size >= _LARGE and settled else found


def hashed(file: BinaryIO) -> hashlib._Hash:
    """The SHA-256 of the rest of a file, read in blocks; `update` may add to it."""
    digest = hashlib.sha256()
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest


def former_fingerprint(path: str | Path) -> dict[str, Any]:
    """The fingerprint that former versions recorded, of the first and last MiB, so that their jobs can be continued."""
    with open(path, "rb") as file:
        head = file.read(_BLOCK)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _BLOCK))
        return {"bytes": size, "sha256": hashlib.sha256(head + file.read(_BLOCK)).hexdigest()}


def with_fingerprints(job: Any, known: Any = None) -> Any:
    """What a job depends on, as JSON: a nested mapping with a fingerprint in place of each `Path`.

    `known` is the result of an earlier start; see `fingerprint`.
    """
    if isinstance(job, Path):
        return fingerprint(job, known)
    if isinstance(job, Mapping):
        return {key: with_fingerprints(job[key], known.get(key) if isinstance(known, Mapping) else None) for key in job}
    return job


def refuse_other_job(
    output: Path | str,
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    former: Mapping[str, Any] | None = None,
    way_out: str = WAY_OUT,
) -> None:
    """Check that an earlier job and the one to be started, which write the same output, depend on the same things.

    Args:
        output: The output, for the message.
        before: Nested mappings, as the earlier job recorded them.
        now: Those of the job to be started.
        former: Those that a former version would have recorded for the job to be started.
        way_out: How the message ends.

    Raises:
        InputError: they differ; names the first difference.
    """
    old, new, aged = flatten(before), flatten(now), flatten(now if former is None else former)
    for key in [*old, *new]:
        if old.get(key) not in (new.get(key), aged.get(key)):
            change = f"{key} was {_shown(old.get(key))}, is now {_shown(new.get(key))}"
            raise InputError(f"{output}: belongs to another job ({change}); {way_out}")


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with key paths such as `decoder.beam_size`; a fingerprint is one value."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if not isinstance(value, Mapping):
            flat[f"{prefix}{key}"] = value
        elif {"bytes", "sha256"} <= value.keys():
            flat[f"{prefix}{key}"] = f"a file of {value['bytes']} bytes, SHA-256 {value['sha256']}"
        else:
            flat |= flatten(value, f"{prefix}{key}.")
    return flat


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) and value.startswith("a file of") else dump_json(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def beside(path: Path, ending: str) -> Path:
    """The file `PATH.ending` of a job that writes `path`; InputError if the path has no name, as `.` and `..`."""
    if path.name in ("", ".."):
        raise InputError(f"{path}: is a folder; expected the name of a file")
    return path.with_name(f"{path.name}.{ending}")


def parts_folder(output: Path) -> Path:
    """The folder of what a job has not put into its output yet."""
    return beside(output, "parts")


def state_path(output: Path) -> Path:
    """The file that records which job writes an output, and how far it is."""
    return beside(output, "state.json")


def refuse_unfinished(output: Path) -> None:
    """Raise InputError for the output of a job that has not ended, or that was cut since, as its state tells."""
    if parts_folder(output).exists():
        raise InputError(f"{output}: is not finished; the command that writes it continues it")
    if not state_path(output).exists():
        return
    lengths = read_object(state_path(output)).get("lengths")
    written = lengths.get("output") if isinstance(lengths, dict) else None
    if written is not None and output.stat().st_size != written:
        found = f"has {output.stat().st_size} bytes, {written} were written"
        raise InputError(f"{output}: {found}; it was changed since; write it again, or remove {state_path(output)}")


def check_target(path: Path) -> None:
    """Raise an InputError if a folder, device or pipe is at `path`, or its name is too long."""
    with writing(path):
        if not path.name or path.is_dir():
            raise InputError(f"{path}: is a folder; expected the name of a file")
        if path.is_symlink() and not path.exists():
            raise InputError(f"{path}: is a link to nothing; expected the name of a file")
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: is a device or a pipe; expected the name of a file")


def refuse_inputs(output: str | Path | None, inputs: Iterable[str | Path | None]) -> None:
    """Raise InputError for an output that would replace one of its inputs; `-`, a standard stream, is never one."""
    for path in inputs:
        if output and path and Path(output).exists() and Path(path).exists() and Path(output).samefile(path):
            raise InputError(f"{output}: is also an input; choose another output")


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """A block that writes `path`; an error of the operating system becomes an InputError."""
    try:
        yield
    except BrokenPipeError:  # not a mistake: the reader of our standard output has had enough
        raise
    except OSError as error:
        reason = "is a symbolic link" if error.errno == errno.ELOOP else error.strerror or str(error)
        raise InputError(f"{path}: cannot be written: {reason}") from error


def _without_links(path: str, flags: int) -> int:
    """An opener for `open` that follows no link and waits for no pipe, which others may put into a shared folder."""
    if _WINDOWS and os.path.islink(path):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o666)
