"""The interface of a decoder: sources in, hypotheses out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from s2s.config import Section
from s2s.data.batch import SourceBatch


@dataclass(frozen=True)
class Hypothesis:
    """One output.

    Args:
        tokens: Generated ids, without the end token.
        log_prob: Sum of the log-probabilities, the end token's included.
        score: What hypotheses of a sentence are ranked by, higher is better.
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


class Decoder(ABC):
    """A search for good outputs. It knows a model only by `start` and `step` (`s2s.models.base.Generator`)."""

    class Config(Section):
        """Options of a decoder."""

    def __init__(self, config: Any, token_id: Callable[[str], int]) -> None:
        """
        Args:
            config: The decoder's section.
            token_id: The id of a vocabulary item, for options that name tokens; raises InputError for an unknown one.
        """
        self.config = config

    def check(self, source: Any, where: str) -> None:  # noqa: B027
        """Raise InputError if this decoder cannot take a task's source example; `where` names its line."""

    @abstractmethod
    def __call__(self, model: Any, sources: SourceBatch) -> list[list[Hypothesis]]:
        """The hypotheses of each sentence, best first."""
