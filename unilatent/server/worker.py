"""One thread for each model: requests wait in its queue, join its running batch, and leave it."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Hashable, Sequence
from typing import Any, Protocol

from s2s.errors import ConfigError, InputError, UnreachableError
from unilatent.server.answers import Answer
from unilatent.server.errors import ApiError, Busy
from unilatent.server.limits import Limits
from unilatent.server.memory import give_back
from unilatent.server.metrics import ModelMetrics

logger = logging.getLogger(__name__)

_MOST_SESSIONS = 4
_IDLE_SECONDS = 5.0
"""Without work after which a worker gives memory back."""


class Session(Protocol):
    """A running batch, whose rows join and leave; see `latent.synthesis.session` and `s2s.generation.session`."""

    def __len__(self) -> int: ...

    def remove(self, key: int) -> None:
        """Let a row leave."""

    def step(self) -> Sequence[Any]:
        """Do one step of all rows; returns what some of them gave, each with its `key`."""


class Job(ABC):
    """One request: its rows join a session one after the other or together.

    Args:
        key: Jobs of one key may share a batch.
        answer: Where its results go.
    """

    def __init__(self, key: Hashable, answer: Answer) -> None:
        self.key, self.answer = key, answer
        self.begun = time.monotonic()

    @abstractmethod
    def open_session(self) -> Any:
        """A session that this job can join."""

    @abstractmethod
    def has_next(self) -> bool:
        """Whether a row may join now."""

    @abstractmethod
    def has_room(self, session: Any) -> bool:
        """Whether the session has room for the next row."""

    @abstractmethod
    def join(self, session: Any) -> int:
        """Let the next row join; its key."""

    @abstractmethod
    def receive(self, item: Any) -> bool:
        """Take what a step gave for one of the rows; whether that row has left the session."""

    @abstractmethod
    def finished(self) -> bool:
        """Whether nothing is left to do."""

    @abstractmethod
    def begin_again(self) -> None:
        """Forget the rows that were in a session, which is lost; they join another."""


class Worker:
    """The thread of one model.

    Args:
        name: Name of the model.
        limits: Limits of the queue and the batch.
        metrics: Figures of the model.
    """

    def __init__(self, name: str, limits: Limits, metrics: ModelMetrics) -> None:
        self.name, self._limits, self._metrics = name, limits, metrics
        self._waiting: deque[Job] = deque()
        self._running: list[Job] = []
        self._rows: dict[tuple[Hashable, int], Job] = {}
        self._sessions: dict[Hashable, Any] = {}
        self.open_answers = 0
        """Answers that are waited for, made or read."""
        self._stopping = False
        self._wake = threading.Condition()
        self._seconds = 1.0
        self._thread = threading.Thread(target=self._run, name=f"worker of {name}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread works."""
        return self._thread.is_alive()

    def answer(self) -> Answer:
        """A place for an answer; raises Busy if there is none, and ApiError if the model cannot work."""
        self._check()
        self.open_answers += 1
        return Answer(self._limits.request_seconds, self._limits.unread_bytes, self.wake, self._close)

    def submit(self, job: Job) -> None:
        """Put a job into the queue; raises as `answer`."""
        with self._wake:
            self._check()
            self._waiting.append(job)
            self._metrics.waiting(len(self._waiting))
            self._wake.notify()

    def stop(self) -> None:
        """Take no more jobs, refuse those that wait, and end when those that run are finished."""
        with self._wake:
            self._stopping = True
            while self._waiting:
                self._waiting.popleft().answer.fail(_stopping())
            self._wake.notify()

    def join(self, seconds: float) -> None:
        """Wait for the thread to end."""
        self._thread.join(seconds)

    def _check(self) -> None:
        if self._stopping:
            raise _stopping()
        if not self.alive:
            raise self._dead()
        if len(self._waiting) >= self._limits.queue or self.open_answers >= self._limits.open_answers:
            seconds = round(self._seconds * (1 + len(self._waiting) / self._limits.max_rows))
            raise Busy(f"{self.name!r} has {len(self._waiting)} requests waiting; try again later", min(seconds, 60))

    def _dead(self) -> ApiError:
        return ApiError(503, f"the model {self.name!r} has stopped working", "model_unavailable")

    def _close(self) -> None:
        """Nobody needs an answer any more; called in the event loop."""
        self.open_answers -= 1
        self.wake()

    def wake(self) -> None:
        """Look again at what the running jobs have to do."""
        with self._wake:
            self._wake.notify()

    def _run(self) -> None:
        try:
            while self._wait():
                self._drop_cancelled()
                self._fill()
                self._step_all()
        except BaseException:
            logger.exception("the worker of %s died", self.name)
        finally:
            with self._wake:
                for job in (*self._running, *self._waiting):
                    job.answer.fail(self._dead())
                self._running.clear()
                self._waiting.clear()

    def _wait(self) -> bool:
        """Wait for something to do; False if the thread should end."""
        rested = False
        with self._wake:
            while not (self._rows or self._waiting or any(map(_can_go_on, self._running))):
                if self._stopping and not self._running:
                    return False
                if not self._wake.wait(None if rested else _IDLE_SECONDS):
                    give_back()
                    rested = True
            return True

    def _drop_cancelled(self) -> None:
        with self._wake:
            for job in [job for job in self._waiting if job.answer.cancelled]:
                self._waiting.remove(job)
        for job in [job for job in self._running if job.answer.cancelled]:
            self._leave(job)

    def _leave(self, job: Job) -> None:
        """Take a job, and its rows, out of the running ones."""
        self._running.remove(job)
        for place in [place for place, owner in self._rows.items() if owner is job]:
            del self._rows[place]
            if place[0] in self._sessions:
                self._sessions[place[0]].remove(place[1])

    def _fill(self) -> None:
        """Let rows join while there is room: one of each running job in turn, then those of waiting jobs in order.

        Where a batch is full, those that wait for it do not hold up those that wait for others.
        """
        joined = True
        while joined and len(self._rows) < self._limits.max_rows:
            joined = False
            for job in [job for job in self._running if job.has_next()][: self._limits.max_rows - len(self._rows)]:
                joined = self._let_join(job) or joined
        full = set[Hashable]()
        for job in list(self._waiting):
            if len(self._rows) >= self._limits.max_rows:
                break
            if job.key in full or self._let_join(job):
                continue
            if job.key not in self._sessions:
                break  # it is the next to get a session
            full.add(job.key)
        self._metrics.waiting(len(self._waiting))

    def _let_join(self, job: Job) -> bool:
        try:
            session = self._session(job)
            if session is None or not job.has_room(session):
                if session is not None and not len(session):
                    raise InputError("the text is too long for the model")
                return False
            self._start(job)
            self._rows[job.key, job.join(session)] = job
            return True
        except Exception as error:  # of this job alone
            self._start(job)
            self._leave(job)
            job.answer.fail(error)
            return True

    def _session(self, job: Job) -> Any:
        if job.key not in self._sessions:
            for key in [key for key, session in self._sessions.items() if not len(session)]:
                if len(self._sessions) >= _MOST_SESSIONS:
                    del self._sessions[key]
            if len(self._sessions) >= _MOST_SESSIONS:
                return None
            self._sessions[job.key] = job.open_session()
        return self._sessions[job.key]

    def _start(self, job: Job) -> None:
        with self._wake:
            if job in self._waiting:
                self._waiting.remove(job)
                self._running.append(job)

    def _step_all(self) -> None:
        for key, session in list(self._sessions.items()):
            if len(session):
                self._metrics.rows(len(session))
                try:
                    items = session.step()
                except Exception as error:
                    self._recover(key, error)
                    continue
                for item in items:
                    self._deliver(key, item)

    def _deliver(self, key: Hashable, item: Any) -> None:
        job = self._rows.get((key, item.key))
        if job is None:
            return
        try:
            if job.receive(item):
                del self._rows[key, item.key]
        except Exception as error:
            self._leave(job)
            job.answer.fail(_of_the_model(error))
            return
        if job.finished():
            self._running.remove(job)
            self._seconds += 0.1 * (time.monotonic() - job.begun - self._seconds)
            job.answer.end()

    def _recover(self, key: Hashable, error: Exception) -> None:
        """A step failed: each job of the batch begins again alone, so that one cannot spoil the others."""
        del self._sessions[key]
        jobs = [job for job in self._running if job.key == key]
        for place in [place for place in self._rows if place[0] == key]:
            del self._rows[place]
        for job in jobs:
            if len(jobs) == 1:
                self._running.remove(job)
                job.answer.fail(_of_the_model(error))
            else:
                job.key = (key, id(job))
                job.begin_again()
        if len(jobs) > 1:
            logger.warning("%s: a step of %d requests failed, each is tried alone: %r", self.name, len(jobs), error)


def _can_go_on(job: Job) -> bool:
    return job.answer.cancelled or job.has_next()


def _of_the_model(error: Exception) -> Exception:
    """What goes wrong in a step is no mistake of the client, but for what only a search can judge."""
    is_ours = isinstance(error, InputError) and not isinstance(error, ConfigError | UnreachableError)
    return ApiError(500, str(error), "model_failed") if is_ours else error


def _stopping() -> Busy:
    return Busy("the server is stopping", 5, status=503, code="stopping")
