"""A beam search under way: sentences that are searched together, each at its own step.

A sentence that is complete leaves the batch, at once or with the next ones, and others may join between two steps. So
the search over a file and the sessions of a server are one search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain, count, islice
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from s2s.data.batch import SourceBatch
from s2s.decoding.base import StepModel
from s2s.decoding.constraints import FREE, BatchConstraints, Written
from s2s.decoding.search_config import SearchConfig, start
from s2s.decoding.trace import Trace
from s2s.nn.cache import placed
from s2s.nn.precision import widest

COMPACT_BELOW = 0.75
"""Complete sentences leave the batch when no more than this share is still open: copying the caches of those that stay
costs more than carrying a few complete ones along. Measured, 32 outputs of 4 to 35 tokens, 6x384: 2.4 s of processor
time, against 2.6 at 0.5, 3.1 when they leave at once and 3.5 when they never leave."""


@dataclass
class Beam(Written):
    """The hypotheses of the sentences that are still in the batch: B' sentences, K hypotheses of each.

    Args:
        scores: Sums of log-probabilities, `(B', K)` float32; -inf where there is no hypothesis.
        ended: Whether the last token is the end token, `(B', K)` bool.
        complete: Whether the search in a sentence is over, `(B',)` bool.
        finished: Ranks of the N best that ended, best first, `(B', N)`, in the widest type; -inf where there are fewer.
        progress: States of the phrases that outputs must contain, `(B', K, C)`, see `s2s.decoding.phrases`; None if the
            search knows none.
    """

    scores: Tensor
    ended: Tensor
    complete: Tensor
    finished: Tensor
    progress: Tensor | None = None

    @classmethod
    def root(cls, sentences: int, wanted: int, device: torch.device) -> Beam:
        """One empty hypothesis of each sentence."""
        return cls(
            sentences=torch.arange(sentences, device=device),
            tokens=torch.zeros(sentences, 1, 0, dtype=torch.int64, device=device),
            ages=torch.zeros(sentences, dtype=torch.int64, device=device),
            youngest=0,
            scores=torch.zeros(sentences, 1, device=device),
            ended=torch.zeros(sentences, 1, dtype=torch.bool, device=device),
            complete=torch.zeros(sentences, dtype=torch.bool, device=device),
            finished=torch.full((sentences, wanted), -torch.inf, dtype=widest(device), device=device),
        )

    def select(self, rows: Tensor) -> Beam:
        """The sentences at some rows."""
        tables: Any = {name: table[rows] for name, table in self.tables().items()}
        return replace(self, **tables)

    def part(self, slots: slice) -> Beam:
        """Some hypotheses of each sentence."""
        progress = None if self.progress is None else self.progress[:, slots]
        tables = {"tokens": self.tokens, "scores": self.scores, "ended": self.ended}
        parts: Any = {name: table[:, slots] for name, table in tables.items()}
        return replace(self, **parts, progress=progress)

    def extend(self, scores: Tensor, parents: Tensor, tokens: Tensor, end: int) -> Beam:
        """The beam after one more step, whose survivors are `(B', K)`."""
        history = self.tokens.gather(1, parents.unsqueeze(-1).expand(-1, -1, self.tokens.shape[2]))
        return replace(
            self,
            tokens=torch.cat([history, tokens.unsqueeze(-1)], -1),
            ages=self.ages + 1,
            youngest=self.youngest + 1,
            scores=scores,
            ended=tokens == end,
        )

    def join(self, other: Beam, places: Sequence[int]) -> Beam:
        """With the sentences of another beam at some places."""
        length = int(torch.cat([self.ages[~self.complete], other.ages]).max())
        mine, theirs = (beam._of_length(length).tables() for beam in (self, other))
        joined: Any = {name: placed(mine[name], theirs[name], places) for name in mine}
        return replace(self, **joined, youngest=min(self.youngest, other.youngest))

    def _of_length(self, length: int) -> Beam:
        """The beam with the last `length` tokens."""
        return replace(self, tokens=F.pad(self.tokens, (length - self.tokens.shape[2], 0), value=FREE))

    def tables(self) -> dict[str, Tensor]:
        """All tensors by name, a row for each sentence."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}


class Rule(Protocol):
    """What survives a step of a beam search, and when a sentence is complete."""

    frame_size: int
    """Survivors of a step."""
    wanted: int
    """Ended hypotheses whose ranks are kept, to know when a sentence is complete."""
    beam_size: int
    """The first survivors, which continue."""
    max_length: int
    """Maximum number of steps."""

    @property
    def config(self) -> SearchConfig:
        """The options of the search."""

    def survivors(
        self, beam: Beam, logits: Tensor, constraints: BatchConstraints, end: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Scores, parents and tokens, each `(B', frame_size)`; see `BeamSearch.survivors`."""

    def is_complete(self, beam: Beam, exhaustive: bool) -> Tensor:
        """Whether a sentence needs no further step, `(B',)` bool; changes `Beam.finished`."""


class Searching:
    """A search in the sentences of a batch.

    Args:
        rule: Of the search.
        model: Scores the tokens.
        sources: The sentences; their numbers are their rows.
        constraints: On the outputs.
        exhaustive: Search until every survivor has ended.
    """

    def __init__(
        self, rule: Rule, model: StepModel, sources: SourceBatch, constraints: BatchConstraints, exhaustive: bool
    ) -> None:
        self.rule, self.model, self.constraints, self.exhaustive = rule, model, constraints, exhaustive
        size, self.end, device = len(sources.ids), sources.feeding.end, sources.tokens.device
        self.trace = Trace.empty(size, rule.max_length, rule.frame_size, self.end, device)
        self.beam = Beam.root(size, rule.wanted, device)
        self.state: Any = start(model, sources, rule.max_length, rule.config)
        self.last: Tensor | None = None
        """The last token of each hypothesis, `(B', K)`; None before the first step."""

    @torch.inference_mode()
    def step(self) -> Tensor:
        """One more token of each hypothesis; returns the numbers of the open sentences, `(B',)`."""
        logits = self.model.step(self.state, self.last)
        frames = self.beam.ages.clamp(max=self.rule.max_length - 1)  # complete ones go on, which changes nothing
        beam, parents = self.survive(logits, frames)
        keep = (~beam.complete).nonzero().squeeze(1)  # the one place where the host waits for the device
        if len(keep):
            self._continue(beam, keep, parents)
        return beam.sentences[keep]

    def survive(self, logits: Tensor, frames: Tensor) -> tuple[Beam, Tensor]:
        """Choose who survives a step and write it to the trace, at `frames` `(B',)`; never waits for the device.

        Returns:
            The beam of all survivors, and the hypotheses that they continue, `(B', frame_size)`.
        """
        scores, parents, tokens = self.rule.survivors(self.beam, logits, self.constraints, self.end)
        beam = self.beam.extend(scores, parents, tokens, self.end)
        self.trace.write(beam.sentences, frames, scores, tokens, parents)
        complete = self.rule.is_complete(beam, self.exhaustive) | (beam.ages >= self.rule.max_length)
        self.trace.complete(beam.sentences, frames, complete & ~beam.complete)
        beam.complete = beam.complete | complete
        return beam, parents

    @torch.inference_mode()
    def join(self, other: Searching) -> dict[int, int]:
        """Take in the sentences of another search that has done its first step; from their numbers there to those here.

        They take the places and the numbers of complete ones, whose trace is lost, before new ones. The state of the
        model must be a `JoinableState`.
        """
        sentences, complete = self.beam.sentences.tolist(), self.beam.complete.tolist()
        unused = (number for number in count() if number not in sentences)
        free = [(place, sentences[place]) for place, over in enumerate(complete) if over]
        chosen = chain(free, zip(count(len(sentences)), unused, strict=False))
        places, numbers = map(list, zip(*islice(chosen, len(other.beam.sentences)), strict=True))
        theirs = other.beam.sentences
        self.trace = self.trace.join(other.trace, theirs, numbers)
        self.constraints = self.constraints.join(other.constraints, theirs, numbers)
        other.beam.sentences = torch.tensor(numbers, device=theirs.device)
        self.beam = self.beam.join(other.beam, places)
        assert self.last is not None, "after the first step"
        assert other.last is not None, "after the first step"
        self.last = placed(self.last, other.last, places)
        self.state.join(other.state, places)
        return dict(zip(theirs.tolist(), numbers, strict=True))

    def drop(self, number: int) -> None:
        """Give a sentence up."""
        self.beam.complete = self.beam.complete | (self.beam.sentences == number)

    def _continue(self, beam: Beam, keep: Tensor, parents: Tensor) -> None:
        """Let the first survivors of each sentence go on; `keep` are the rows of the open ones."""
        beam, parents = beam.part(slice(self.rule.beam_size)), parents[:, : self.rule.beam_size]
        rows = keep if worth_leaving(keep, beam.sentences) else None
        if rows is not None:
            beam, parents = beam.select(rows), parents[rows]
        self.state.select(rows, parents)
        self.beam, self.last = beam, beam.tokens[..., -1]


def worth_leaving(keep: Tensor, sentences: Tensor) -> bool:
    """Whether so few sentences are still open that the others should leave the batch."""
    return len(keep) <= COMPACT_BELOW * len(sentences)
