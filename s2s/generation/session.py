"""Texts that are generated together, and come and go while others are generated: what a server needs of a generator.

session = generator.session(max_rows=8)
key = session.add("A long text.")      # whenever `session.has_room(text)`
while len(session):
    for made in session.step():        # those that are finished
        print(made.key, made.hypotheses[0])
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch

from s2s.data.batch import SourceBatch
from s2s.decoding.base import Hypothesis, JoinableState, Search, StepModel
from s2s.decoding.beam import BeamSearch
from s2s.decoding.searching import Searching

Text = str | Mapping[str, Any]
"""A source: its text, or a record with the fields that the task of the run reads."""


@dataclass(frozen=True)
class Finished:
    """A text that was generated.

    Args:
        key: From `TextSession.add`.
        hypotheses: The different outputs, `(text, score)`, best first; see `Generation`.
    """

    key: int
    hypotheses: list[tuple[str, float]]


@dataclass(frozen=True)
class Texts:
    """What a session needs of a task.

    Args:
        read: A text and how its output begins, as a source of the task and the text whose spelling the output takes.
        collate: Sources as a batch on the device of the model.
        write: Hypotheses of a source as texts with scores; the second argument is what `read` gave.
    """

    read: Callable[[Text, str | None], tuple[Any, str]]
    collate: Callable[[Sequence[Any]], SourceBatch]
    write: Callable[[Sequence[Hypothesis], tuple[Any, str]], list[tuple[str, float]]]


class TextSession(ABC):
    """Texts that are being generated. Each gives what it gives alone.

    Args:
        texts: How the task reads, batches and writes texts.
        model: The model of a run, see `Generator`.
        max_rows: Maximum number of texts.
    """

    def __init__(self, texts: Texts, model: StepModel, max_rows: int) -> None:
        self._texts, self._model, self._max_rows = texts, model, max_rows
        self._keys = count()
        self._read: dict[int, tuple[Any, str]] = {}

    def __len__(self) -> int:
        """Texts that are not finished."""
        return len(self._read)

    def has_room(self, text: Text, prefix: str | None = None) -> bool:
        """Whether `add` can take a text now."""
        return len(self) < self._max_rows

    def add(self, text: Text, prefix: str | None = None) -> int:
        """Begin to generate from a text, for which there is room; returns its key.

        Args:
            text: Or a record, see `Generator.generate`.
            prefix: What the output must begin with.

        Raises:
            InputError: the text is empty, of the wrong type, or too long for the model.
        """
        assert self.has_room(text, prefix), f"no room for more than {self._max_rows} texts"
        read = self._texts.read(text, prefix)
        key = next(self._keys)
        self._begin(key, read[0])
        self._read[key] = read
        return key

    def remove(self, key: int) -> None:
        """Forget a text that is not finished."""
        if self._read.pop(key, None) is not None:
            self._end(key)

    @abstractmethod
    def step(self) -> list[Finished]:
        """Generate on; the texts that are finished now."""

    @abstractmethod
    def _begin(self, key: int, source: Any) -> None: ...

    @abstractmethod
    def _end(self, key: int) -> None: ...

    def _finished(self, key: int, hypotheses: Sequence[Hypothesis]) -> Finished:
        return Finished(key, self._texts.write(hypotheses, self._read.pop(key)))


class Joined(TextSession):
    """Texts that join a running beam search.

    Where the model's state cannot take in others (`JoinableState`), one text at a time has room.
    """

    def __init__(self, texts: Texts, model: StepModel, max_rows: int, search: BeamSearch) -> None:
        super().__init__(texts, model, max_rows)
        self._search = search
        self._running: Searching | None = None
        self._numbers: dict[int, int] = {}  # of the texts in the running search, by key
        self._complete: dict[int, list[Hypothesis]] = {}

    def has_room(self, text: Text, prefix: str | None = None) -> bool:
        joinable = self._running is None or isinstance(self._running.state, JoinableState)
        return joinable and super().has_room(text, prefix)

    def step(self) -> list[Finished]:
        if self._running is not None:
            self._collect(self._running, set(self._running.step().tolist()))
        made = [self._finished(*item) for item in self._complete.items()]
        self._complete = {}
        return made

    def _begin(self, key: int, source: Any) -> None:
        entering = self._search.start(self._model, self._texts.collate([source]))
        if not len(entering.step()):  # which has one hypothesis only, and so is done apart from the others
            (self._complete[key],) = self._search.best(entering.trace)
        elif self._running is None:
            self._running, self._numbers = entering, {key: 0}
        else:
            (self._numbers[key],) = self._running.join(entering)

    def _end(self, key: int) -> None:
        self._complete.pop(key, None)
        if self._running is not None and key in self._numbers:
            self._running.drop(self._numbers.pop(key))
            self._forget_if_over()

    def _collect(self, running: Searching, left: set[int]) -> None:
        """Take the results of the texts whose numbers are not among those `left`."""
        over = {key: number for key, number in self._numbers.items() if number not in left}
        if over:
            numbers = torch.tensor(list(over.values()), device=running.beam.sentences.device)
            self._complete |= zip(over, self._search.best(running.trace.of(numbers)), strict=True)
            self._numbers = {key: number for key, number in self._numbers.items() if key not in over}
            self._forget_if_over()

    def _forget_if_over(self) -> None:
        if not self._numbers:
            self._running = None  # with its memory


class Batched(TextSession):
    """Texts that wait for the next step, which searches all of them as one batch, to the end.

    For searches that others cannot join, such as sampling.
    """

    def __init__(self, texts: Texts, model: StepModel, max_rows: int, search: Search) -> None:
        super().__init__(texts, model, max_rows)
        self._search = search
        self._waiting: dict[int, Any] = {}

    def step(self) -> list[Finished]:
        if not self._waiting:
            return []
        waiting, self._waiting = self._waiting, {}
        found = self._search(self._model, self._texts.collate(list(waiting.values())))
        return [self._finished(*item) for item in zip(waiting, found, strict=True)]

    def _begin(self, key: int, source: Any) -> None:
        self._waiting[key] = source

    def _end(self, key: int) -> None:
        del self._waiting[key]
