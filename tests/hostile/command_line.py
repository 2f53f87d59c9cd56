"""The real command line, in this process or in a child of it with limits."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import logging
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import typer

from unilatent import cli

SECONDS = 8
"""No command may take longer, although the machine may be shared."""
MEMORY = 3 << 30
"""Bytes that a child may take beside what this process holds."""


@dataclass
class Outcome:
    """What a command printed and how it ended; `crash` describes an exception that nobody caught, or a kill."""

    status: int
    stdout: bytes
    stderr: str
    crash: str | None = None

    @property
    def error_lines(self) -> list[str]:
        """Lines of standard error that begin as errors do."""
        return [line for line in self.stderr.splitlines() if line.startswith("error: ")]


class _TooSlow(BaseException):
    """Not an Exception, so that nothing which is tested can catch it."""


def call(arguments: list[str], seconds: int = SECONDS) -> Outcome:
    """Run the command line in this process."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True), io.StringIO()
    crash, status = None, 0
    try:
        with _as_a_program(arguments, out, err), _in_time(seconds):
            cli.main()
    except SystemExit as ending:
        status = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
        if isinstance(ending.code, str):
            err.write(f"{ending.code}\n")
    except _TooSlow:
        crash, status = f"more than {seconds} seconds", 124
    except (Exception, KeyboardInterrupt) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
        where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
        crash, status = f"{type(error).__name__}: {str(error)[:200]} ({where}, {Path(last.filename).name})", 1
    return Outcome(status, out.buffer.getvalue(), err.getvalue(), crash)  # type: ignore[attr-defined]


def call_limited(arguments: list[str]) -> Outcome:
    """Run the command line in a child that may not take more memory or processor time than its limits."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        outcome = call(arguments)
        record = {**asdict(outcome), "stdout": outcome.stdout.decode("latin-1")}
        with os.fdopen(writing, "w") as pipe:
            json.dump(record, pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    _, ended = os.waitpid(child, 0)
    if not told:
        reason = signal.Signals(os.WTERMSIG(ended)).name if os.WIFSIGNALED(ended) else f"status {ended}"
        return Outcome(1, b"", "", f"the process was killed: {reason}")
    record = json.loads(told)
    return Outcome(**{**record, "stdout": record["stdout"].encode("latin-1")})


_build_app = cli.build_app


@functools.cache
def _known_app() -> Any:
    """The application, put together once instead of in every call: that takes longer than most of the cases."""
    return typer.main.get_command(_build_app())


@contextlib.contextmanager
def _as_a_program(arguments: list[str], out: Any, err: Any) -> Iterator[None]:
    """Streams, arguments, logging and modules of a process of its own, as far as one process can pretend."""
    root = logging.getLogger()
    handlers, level, argv, paths = root.handlers[:], root.level, sys.argv, sys.path[:]
    modules, environment, streams = set(sys.modules), dict(os.environ), (sys.stdin, sys.stdout, sys.stderr)
    terminate = signal.getsignal(signal.SIGTERM)
    root.handlers[:] = []
    patch = pytest.MonkeyPatch()
    patch.setattr(cli, "build_app", _known_app)
    sys.argv = ["unilatent", *arguments]
    sys.stdin, sys.stdout, sys.stderr = io.TextIOWrapper(io.BytesIO()), out, err
    try:
        yield
    finally:
        patch.undo()
        signal.signal(signal.SIGTERM, terminate)
        sys.stdin, sys.stdout, sys.stderr = streams
        sys.argv, sys.path[:], root.handlers[:] = argv, paths, handlers
        root.setLevel(level)
        here = os.getcwd()
        for name in set(sys.modules) - modules:
            if str(getattr(sys.modules[name], "__file__", None) or "").startswith(here):
                del sys.modules[name]
        os.environ.clear()
        os.environ.update(environment)


@contextlib.contextmanager
def _in_time(seconds: int) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise _TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    started = time.monotonic()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        assert time.monotonic() - started < 2 * seconds, "the alarm was not heard"
