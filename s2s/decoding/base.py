"""The interface of a decoder: `Search`, sources in and hypotheses out; `Streamer`, prompts in and steps out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from s2s.config import Section
from s2s.data.batch import SourceBatch
from s2s.errors import InputError


class State(Protocol):
    """A model's state while it generates, held by the caller: B sentences, K hypotheses of each."""

    def select(self, sentences: Tensor | None, parents: Tensor) -> None:
        """Keep some sentences, and let hypotheses continue others of the same sentence.

        Args:
            sentences: Rows to keep, `(B',)` int64, or None for all of them.
            parents: For each hypothesis the one that it continues, `(B', K')` int64, as index into the K before.
        """


@runtime_checkable
class JoinableState(State, Protocol):
    """A state that other sentences can enter while it is in use, as sessions need."""

    def join(self, other: Any, places: Sequence[int]) -> None:
        """Take in the sentences of a state of the same model, with as many hypotheses of each.

        Args:
            places: The rows that they get: those of sentences that are no longer needed, or the next after the last.
        """


@runtime_checkable
class StepModel(Protocol):
    """A model that generates token by token: what a search needs."""

    def check_lengths(self, lengths: Tensor, max_steps: int) -> None:
        """Raise InputError if a source of one of these lengths `(B,)` and so many steps are too long for the model."""

    def start(self, sources: SourceBatch, max_steps: int) -> State:
        """Read the sources; at most `max_steps` calls of `step` may follow. Raises as `check_lengths`."""

    def step(self, state: Any, tokens: Tensor | None) -> Tensor:
        """Append one token to each hypothesis and score the next one.

        Args:
            state: From `start`, changed in place.
            tokens: The last token of each hypothesis, `(B, K)` int64; None at the first step, before any token.

        Returns:
            Unnormalized scores, `(B, K, V)`; at the first step K is 1.
        """


@dataclass(frozen=True)
class Hypothesis:
    """One output.

    Args:
        tokens: Generated ids, without the end token.
        log_prob: Sum of the log-probabilities, the end token's included.
        score: By which the hypotheses of a sentence are ranked, higher is better.
        finished: Whether the model ended it; False means that it was cut at the maximum length.
    """

    tokens: list[int]
    log_prob: float
    score: float
    finished: bool


def distinct(hypotheses: Iterable[Hypothesis], most: int | None = None) -> list[Hypothesis]:
    """The first `most` hypotheses whose tokens differ, in their order."""
    first: dict[tuple[int, ...], Hypothesis] = {}
    for hypothesis in hypotheses:
        if len(first) == most:
            break
        first.setdefault(tuple(hypothesis.tokens), hypothesis)
    return list(first.values())


TokenIds = Callable[[str], int]
"""From a vocabulary item to its id; raises InputError for an unknown one."""


def no_tokens(token: str) -> int:
    """The `TokenIds` of a task whose tokens have no names: always an InputError."""
    raise InputError(f"{token!r}: cannot be named, this task has no vocabulary of text")


class Decoder(ABC):
    """A way to generate and its options; `Search` and `Streamer` define input and output."""

    class Config(Section):
        """Options of a decoder."""

    config: Section

    def __init__(self, config: Section, token_id: TokenIds = no_tokens) -> None:
        """`token_id` is the task's, for options that name tokens."""
        self.config = config


class Search(Decoder):
    """A search for good texts. It knows a model only as a `StepModel`."""

    def check(self, source: Any, where: str) -> None:
        """Raise InputError if this search cannot take a task's source example; `where` names its line."""

    def write_with(self, text: Callable[[Sequence[int]], str]) -> None:
        """Take the task's way from tokens to text, before the first call; most searches need none."""

    def check_lengths(self, model: StepModel, sources: SourceBatch) -> None:
        """Raise InputError if a source and the longest output are too long for the model."""

    @abstractmethod
    def __call__(self, model: StepModel, sources: SourceBatch) -> list[list[Hypothesis]]:
        """The hypotheses of each sentence, best first."""


class Streamer(Decoder):
    """Generates step by step, and yields each step as it is made."""

    @abstractmethod
    def stream(self, model: Any, prompts: Any) -> Iterator[Any]:
        """The result of each step until all prompts have ended; the model must be in evaluation mode."""
