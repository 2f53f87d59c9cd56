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

    Those that are added between two steps begin together, as one batch, which costs little more than one of them alone.

    Args:
        texts: How the task reads, batches and writes texts.
        model: The model of a run, see `Generator`.
        max_rows: Maximum number of texts.
        search: For outputs.
    """

    def __init__(self, texts: Texts, model: StepModel, max_rows: int, search: Search) -> None:
        self._texts, self._model, self._max_rows = texts, model, max_rows
        self._checks = search
        self._keys = count()
        self._read: dict[int, tuple[Any, str]] = {}
        self._waiting: list[int] = []  # keys of the texts that begin with the next step

    def __len__(self) -> int:
        """Texts that are not finished."""
        return len(self._read)

    def has_room(self, text: Text, prefix: str | None = None) -> bool:
        """Whether `add` can take a text now."""
        return len(self) < self._max_rows

    def add(self, text: Text, prefix: str | None = None) -> int:
        """Generate from a text, for which there is room, from the next step on; returns its key.

        Args:
            text: Or a record, see `Generator.generate`.
            prefix: What the output must begin with.

        Raises:
            InputError: the text is empty, of the wrong type, or too long for the model.
        """
        assert self.has_room(text, prefix), f"no room for more than {self._max_rows} texts"
        read = self._texts.read(text, prefix)
        self._checks.check_lengths(self._model, self._texts.collate([read[0]]))
        key = next(self._keys)
        self._read[key] = read
        self._waiting.append(key)
        return key

    def remove(self, key: int) -> None:
        """Forget a text that is not finished."""
        if self._read.pop(key, None) is None:
            return
        if key in self._waiting:
            self._waiting.remove(key)
        else:
            self._leave(key)

    def step(self) -> list[Finished]:
        """Generate on; the texts that are finished now."""
        waiting, self._waiting = self._waiting, []
        return [self._finished(*item) for item in self._go_on(waiting).items()]

    @abstractmethod
    def _go_on(self, keys: Sequence[int]) -> dict[int, list[Hypothesis]]:
        """Start the texts of some keys, and take a step with all; the results of those that are finished, by key."""

    @abstractmethod
    def _leave(self, key: int) -> None:
        """Forget a text that has begun."""

    def _batch(self, keys: Sequence[int]) -> SourceBatch:
        return self._texts.collate([self._read[key][0] for key in keys])

    def _finished(self, key: int, hypotheses: Sequence[Hypothesis]) -> Finished:
        return Finished(key, self._texts.write(hypotheses, self._read.pop(key)))


class Joined(TextSession):
    """Texts that join a running beam search.

    Where the model's state cannot take in others (`JoinableState`), there is room when the texts that run are finished.
    """

    def __init__(self, texts: Texts, model: StepModel, max_rows: int, search: BeamSearch) -> None:
        super().__init__(texts, model, max_rows, search)
        self._search = search
        self._running: Searching | None = None
        self._numbers: dict[int, int] = {}  # of the texts in the running search, by key

    def has_room(self, text: Text, prefix: str | None = None) -> bool:
        joinable = self._running is None or isinstance(self._running.state, JoinableState)
        return joinable and super().has_room(text, prefix)

    def _go_on(self, keys: Sequence[int]) -> dict[int, list[Hypothesis]]:
        found = self._begin(keys) if keys else {}
        if self._running is not None:
            left = set(self._running.step().tolist())
            found |= self._results(self._running, self._numbers, left)
            self._keep({key: number for key, number in self._numbers.items() if number in left})
        return found

    def _begin(self, keys: Sequence[int]) -> dict[int, list[Hypothesis]]:
        """The first step, which has one hypothesis only, and so is done apart from the texts that run."""
        entering = self._search.start(self._model, self._batch(keys))
        left = set(entering.step().tolist())
        found = self._results(entering, dict(zip(keys, count())), left)
        begun = {key: number for number, key in enumerate(keys) if number in left}
        if self._running is None:
            self._running = entering
        elif begun:
            numbers = self._running.join(entering)
            begun = {key: numbers[number] for key, number in begun.items()}
        self._keep(self._numbers | begun)
        return found

    def _leave(self, key: int) -> None:
        if self._running is not None:
            self._running.drop(self._numbers[key])
            self._keep({other: number for other, number in self._numbers.items() if other != key})

    def _results(self, search: Searching, numbers: dict[int, int], left: set[int]) -> dict[int, list[Hypothesis]]:
        """Of the texts, by key, whose numbers in a search are not among those `left`."""
        over = {key: number for key, number in numbers.items() if number not in left}
        if not over:
            return {}
        places = torch.tensor(list(over.values()), device=search.beam.sentences.device)
        return dict(zip(over, self._search.best(search.trace.of(places)), strict=True))

    def _keep(self, numbers: dict[int, int]) -> None:
        """The texts that run from now on."""
        self._numbers = numbers
        if not numbers:
            self._running = None  # with its memory


class Batched(TextSession):
    """Texts that wait for the next step, which searches all of them as one batch, to the end.

    For searches that others cannot join, such as sampling.
    """

    def __init__(self, texts: Texts, model: StepModel, max_rows: int, search: Search) -> None:
        super().__init__(texts, model, max_rows, search)
        self._search = search

    def _go_on(self, keys: Sequence[int]) -> dict[int, list[Hypothesis]]:
        return dict(zip(keys, self._search(self._model, self._batch(keys)), strict=True)) if keys else {}

    def _leave(self, key: int) -> None:
        raise AssertionError("a step finishes all texts that have begun")
