"""Processes that share work: few tasks at a time, and no process left behind when the parent is killed."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from s2s.errors import InputError

Task = TypeVar("Task")
Result = TypeVar("Result")

_TASKS = 2  # for each process, including the one it works on


def share(function: Callable[[Task], Result], tasks: Iterable[Task], processes: int) -> Generator[Result, None, None]:
    """Results of a function for each task, as they come; one process means this one.

    Args:
        function: Must be picklable.
        tasks: Taken one by one as processes become free, so that few are in memory.
        processes: Number of processes.

    Raises:
        InputError: the function raises it, or a process died.
    """
    if processes == 1:
        yield from map(function, tasks)
        return
    remaining = iter(tasks)
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, initializer=_begin, initargs=(function,))
    waiting: set[Future[Result]] = set()
    try:
        while True:
            wanted = processes * _TASKS - len(waiting)
            waiting |= {pool.submit(_call, task) for task in itertools.islice(remaining, wanted)}
            if not waiting:
                return
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    except BrokenProcessPool as error:
        problem = "a worker process was killed, probably for lack of memory; start again with fewer --processes"
        raise InputError(problem) from error
    finally:
        pool.shutdown(cancel_futures=True)


def available_cores() -> int:
    """The processor cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    return len(affinity(0)) if affinity else os.cpu_count() or 1


_function: Callable[..., Any] | None = None


def _begin(function: Callable[..., Any]) -> None:
    global _function
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent alone answers it
    _function = function
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _call(task: object) -> Any:
    assert _function is not None
    return _function(task)
