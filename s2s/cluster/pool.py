"""A pool of workers on a Ray cluster, each on a device of its own. What a lost worker had is done by another."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from s2s import packages
from s2s.config import Section
from s2s.errors import InputError, reason_of
from s2s.registry import TRUSTED, search_working_directory

logger = logging.getLogger(__name__)

_AHEAD = 2
"""Windows that a worker holds, so that it never waits for the next."""
_ATTEMPTS = 10
"""Workers that one window may end before it is held to be the cause."""
_PATIENCE = 60.0
"""Seconds without any worker after which a line says so."""
_CONNECT_SECONDS = 5.0
LOCAL = "local"

Do = Callable[[int], Any]
"""The work on a window, by its number; what it returns can be pickled."""


class ClusterOptions(Section):
    """Which cluster, and what its workers take of it."""

    address: str = LOCAL
    """local: a cluster of this machine alone, for this job; auto: the one that this machine belongs to; HOST:PORT."""
    workers: int | None = Field(None, ge=1)
    """How many; by default as many as the cluster has GPUs, or else as its CPUs allow."""
    cpus: float = Field(default=1.0, gt=0)
    """CPUs of a worker, and so its threads."""
    device: str = "auto"
    """cpu, or else a GPU for each worker if the cluster has any."""


def run_windows(make: Callable[[], Do], numbers: Iterable[int], options: ClusterOptions) -> Iterator[tuple[int, Any]]:
    """Do the work on windows, as they are asked for; gives `(number, result)` in the order in which they are done.

    Args:
        make: Called once in each worker, in the working directory and with the trust of this process; pickled.
        numbers: Taken lazily, two at a time for each worker.
        options: Where.

    Raises:
        InputError: Ray is not installed, no cluster answers, it has no such device, the work raises one, or a window
            ends ten workers.
    """
    ray = packages.load("ray", "ray")
    with _connected(ray, options.address):
        shape, count = _shape(ray, options)
        pool = _Pool(ray, _Start(make, os.getcwd(), os.environ.get(TRUSTED)), shape, count)
        try:
            yield from pool.results(iter(numbers))
        finally:
            pool.close()


def in_order(results: Iterable[tuple[int, Any]]) -> Iterator[Any]:
    """Results in the order of their numbers, from 0; those that come early wait."""
    early: dict[int, Any] = {}
    following = 0
    for number, result in results:
        early[number] = result
        while following in early:
            yield early.pop(following)
            following += 1


@contextlib.contextmanager
def _connected(ray: Any, address: str) -> Iterator[None]:
    """A connection to the cluster; one that the caller has made is used, and stays."""
    if ray.is_initialized():
        yield
        return
    _refuse_unreachable(address)
    try:
        plain = {"include_dashboard": False} if address == LOCAL else {}  # which takes seconds to start
        ray.init(address, logging_level=logging.ERROR, log_to_driver=False, **plain)
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        raise InputError(f"--ray {address}: no Ray cluster answers there: {reason_of(error)}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _refuse_unreachable(address: str) -> None:
    """Raise InputError if nothing listens at HOST:PORT, for which Ray would wait for minutes."""
    host, _, port = address.rpartition(":")
    if not (host and port.isdigit()) or "://" in address:
        return
    try:
        socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"--ray {address}: no Ray cluster answers there: {reason_of(error)}") from error


def _shape(ray: Any, options: ClusterOptions) -> tuple[dict[str, float], int]:
    """What a worker takes of the cluster, and how many there are."""
    has = ray.cluster_resources()
    gpus = 0 if options.device == "cpu" else int(has.get("GPU", 0))
    if options.device not in ("auto", "cpu") and not gpus:
        raise InputError(f"device: {options.device!r} was asked for, but the cluster has no GPU; use cpu or auto")
    fits = gpus or max(1, int(has.get("CPU", 1) / options.cpus))
    return {"num_cpus": options.cpus, "num_gpus": int(gpus > 0)}, options.workers or fits


class _Start(NamedTuple):
    """What a worker begins with."""

    make: Callable[[], Do]
    folder: str
    trusted: str | None

    def __call__(self) -> Do:
        if Path(self.folder).is_dir():
            os.chdir(self.folder)
        if self.trusted is not None:
            os.environ[TRUSTED] = self.trusted
            search_working_directory()
        return self.make()


class _Worker:
    """An actor. It returns results with the message of an InputError, which is no failure of the worker."""

    def __init__(self, start: _Start) -> None:
        self._start = start
        self._do: Do | None = None

    def ready(self) -> None:
        """Returns when the actor runs."""

    def do(self, number: int) -> tuple[Any, str | None]:
        try:
            if self._do is None:
                self._do = self._start()
            return self._do(number), None
        except InputError as error:
            return None, str(error)


def _story_of(error: BaseException) -> str:
    """The first line of what Ray says, and the last if it is an exception that ended a worker."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{reason_of(error)}: {lines[-1]}" if len(lines) > 1 and "Error: " in lines[-1] else reason_of(error)


@dataclass(eq=False)
class _Hand:
    """A worker as the pool sees it: the actor, and the windows it has, by their references."""

    actor: Any
    has: dict[Any, int] = field(default_factory=dict)


class _Pool:
    def __init__(self, ray: Any, start: _Start, shape: dict[str, float], count: int) -> None:
        self._ray, self._start = ray, start
        self._actor = ray.remote(_Worker).options(**shape, max_restarts=0, max_task_retries=0)
        self._starting: dict[Any, _Hand] = {}  # by the reference that tells when they run
        self._hands: list[_Hand] = []
        self._again: list[int] = []  # windows of lost workers, a heap
        self._lost: dict[int, int] = {}  # workers that were lost with a window
        self._stillborn = 0  # workers in a row that ended before they ran
        self._seen = time.monotonic()
        for _ in range(count):
            self._hire()

    def results(self, numbers: Iterator[int]) -> Iterator[tuple[int, Any]]:
        """See `run_windows`."""
        while True:
            self._hand_out(numbers)
            working = [reference for hand in self._hands for reference in hand.has]
            if not working and not self._again:
                following = next(numbers, None)
                if following is None:
                    return
                numbers = itertools.chain([following], numbers)
            for reference in self._ray.wait([*working, *self._starting], timeout=1.0)[0]:
                yield from self._receive(reference)
            self._complain()

    def close(self) -> None:
        """End the workers."""
        for hand in [*self._hands, *self._starting.values()]:
            self._ray.kill(hand.actor)

    def _hire(self) -> None:
        actor = self._actor.remote(self._start)
        self._starting[actor.ready.remote()] = _Hand(actor)

    def _hand_out(self, numbers: Iterator[int]) -> None:
        for depth in range(_AHEAD):  # a window for each, before a second for any
            for hand in self._hands:
                if len(hand.has) > depth:
                    continue
                number = heapq.heappop(self._again) if self._again else next(numbers, None)
                if number is None:
                    return
                hand.has[hand.actor.do.remote(number)] = number

    def _receive(self, reference: Any) -> Iterator[tuple[int, Any]]:
        """What a reference brings: a worker that runs, a result, or the news that a worker is lost."""
        hand = self._starting.pop(reference, None)
        is_new = hand is not None
        hand = hand or next((hand for hand in self._hands if reference in hand.has), None)
        if hand is None:  # of a worker whose loss another reference has told
            return
        try:
            found = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError:
            raise
        except self._ray.exceptions.RayError as error:
            self._lose(hand, _story_of(error))
            return
        if is_new:
            self._stillborn = 0
            self._hands.append(hand)
            return
        number = hand.has.pop(reference)
        result, problem = found
        if problem is not None:
            raise InputError(problem)
        yield number, result

    def _lose(self, hand: _Hand, reason: str) -> None:
        """Do again what a lost worker had, and take another in its place."""
        if hand in self._hands:
            self._hands.remove(hand)
        else:
            self._stillborn += 1
            if self._stillborn >= _ATTEMPTS:
                raise InputError(f"{_ATTEMPTS} workers ended before they ran, one after the other; the last: {reason}")
        begun = next(iter(hand.has.values()), None)
        if begun is not None:
            self._lost[begun] = self._lost.get(begun, 0) + 1
            if self._lost[begun] >= _ATTEMPTS:
                raise InputError(
                    f"{_ATTEMPTS} workers ended with window {begun}, one after the other; the last: {reason}"
                )
        for number in hand.has.values():
            heapq.heappush(self._again, number)
        logger.warning("a worker was lost, another does its work: %s", reason)
        self._hire()

    def _complain(self) -> None:
        now = time.monotonic()
        if self._hands:
            self._seen = now
        elif now - self._seen > _PATIENCE:
            logger.warning("no worker has begun for %.0f seconds; has the cluster room for one?", _PATIENCE)
            self._seen = now
