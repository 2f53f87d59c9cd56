"""What jobs that a kill at any instant must not spoil are made of: claims, whole writes, fingerprints of files."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from s2s.errors import InputError

logger = logging.getLogger(__name__)

_SAMPLE = 1 << 20


@contextlib.contextmanager
def claimed(output: Path, lock: Path | None = None) -> Iterator[None]:
    """Hold an output against other processes; whatever ends this process, the system ends its claim.

    Args:
        output: What is to be written.
        lock: The file that stands for it, whose folder is made; OUTPUT.lock if None.

    Raises:
        InputError: another process holds it.
    """
    path = output.with_name(f"{output.name}.lock") if lock is None else lock
    with contextlib.ExitStack() as stack:
        while True:
            with writing(output):
                path.parent.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(open(path, "w"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(
                    f"{output}: another process is writing it; wait for it, or name another --output"
                ) from None
            except OSError as error:  # a file system that knows no locks
                logger.warning("%s: cannot be locked (%s); see that no other job writes it", output, error.strerror)
            if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
                break  # else its last holder has just removed it
        stack.callback(path.unlink, missing_ok=True)
        yield


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all.

    Raises:
        InputError: it cannot be written.
    """
    unfinished = path.with_name(f"{path.name}.unfinished")
    with writing(path):
        with open(unfinished, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)


def append(path: Path, content: bytes) -> int:
    """Add to a file, and return its new length once it is on the disk."""
    with writing(path), open(path, "ab") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        return file.tell()


def fingerprint(path: str | Path) -> dict[str, Any]:
    """What tells one file from another, wherever it lies: its size, and a hash of its beginning and its end.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            head = file.read(_SAMPLE)
            file.seek(max(0, size - _SAMPLE))
            return {"bytes": size, "sha256": hashlib.sha256(head + file.read(_SAMPLE)).hexdigest()}
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """A block that writes `path`; what the system refuses becomes an InputError."""
    try:
        yield
    except BrokenPipeError:  # no mistake: the reader of our standard output has had enough
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error
