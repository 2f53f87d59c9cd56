"""A beam search on a GPU: many steps in a row whose shapes stay the same, without the host.

A section is some steps of the sentences that are still open. It copies them into its own tensors, runs the step (the
model, the choice of survivors, all that is noted) on these, as a CUDA graph after the first time, and gives back what
has become of them. The number of open sentences is read some steps late. Between two sections sentences leave, and the
cache grows. Sections of the same sizes, which are rounded up so that there are few, share tensors and graph.

The rule of the search is the one of `s2s.decoding.searching`; on a CPU a section runs too, but the plain search, which
computes nothing in vain, is faster there.
"""

from __future__ import annotations

from collections import OrderedDict
from copy import copy
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

from s2s.data.batch import Feeding
from s2s.decoding.base import State, StepModel
from s2s.decoding.constraints import FREE, BatchConstraints
from s2s.decoding.searching import Beam, Searching
from s2s.decoding.trace import Trace
from s2s.nn.capture import Captured, Glance, in_bucket

STEPS = 32
"""Most steps of a section: its cache has room for so many."""
LOOK_EVERY = 4
"""Steps between two looks at the number of open sentences; each shows what was true one look before."""
SLOTS = 64
"""The slots that a section begins with are rounded up to a multiple of this."""
FEW = 8
"""So many sentences stay together to the end."""
KEPT = 4
"""Sections that keep their tensors and graph."""


class StaticState(State, Protocol):
    """A model's state whose tensors keep their places and shapes; `select` is for all sentences."""

    def load(self, state: Any) -> None:
        """Take in the sentences of a state, as the first rows."""

    def give_back(self, state: Any, rows: Tensor, steps: int) -> None:
        """Let a state that was loaded have gone on with some rows `(B',)`, which are the first ones, for `steps`."""


@runtime_checkable
class Steadied(State, Protocol):
    """A state that has a static form, which the model's `step` takes too."""

    @property
    def slots(self) -> int:
        """Slots of the cache in use."""

    def static(self, rows: int, slots: int, steps: int, hypotheses: int) -> StaticState:
        """One for at most so many sentences, slots in use, and steps."""


class Sizes(NamedTuple):
    """What a section is made for; searches of the same sizes can share it."""

    rows: int
    """Most sentences."""
    slots: int
    """Most slots in use when it begins."""
    forced: int
    """Width of the table of forced tokens; 0 once they are written."""
    exhaustive: bool
    feeding: Feeding

    @classmethod
    def of(cls, search: Searching, feeding: Feeding) -> Sizes:
        """The sizes for a search, rounded up."""
        forced, age = search.constraints.prefixes.shape[1], search.beam.youngest
        slots = -(-search.state.slots // SLOTS) * SLOTS
        rows = in_bucket(len(search.beam.sentences))
        return cls(rows, slots, forced if forced > age else 0, search.exhaustive, feeding)


def can_be_static(search: Searching) -> bool:
    """Whether sections can go on with a search."""
    return type(search.constraints) is BatchConstraints and isinstance(search.state, Steadied)


class StaticSearch:
    """Runs searches of one rule section by section. It keeps a few sections, and with them the last model."""

    def __init__(self) -> None:
        self._model: StepModel | None = None
        self._sections: OrderedDict[Sizes, Section] = OrderedDict()

    @torch.inference_mode()
    def finish(self, search: Searching, feeding: Feeding) -> None:
        """Search to the end, in sections if `can_be_static`; no others may have joined the search."""
        left = len(search.step())
        if not can_be_static(search):
            while left:
                left = len(search.step())
            return
        if self._model is not search.model:
            self._model, self._sections = search.model, OrderedDict()
        while left:
            left = self._section(search, Sizes.of(search, feeding)).run(search)

    def _section(self, search: Searching, sizes: Sizes) -> Section:
        section = self._sections.pop(sizes, None) or Section(search, sizes)
        self._sections[sizes] = section
        while len(self._sections) > KEPT:
            self._sections.popitem(last=False)
        return section


class Section:
    """Tensors for some steps of a search, and the step on them; `like` is a search that begins it."""

    def __init__(self, like: Searching, sizes: Sizes) -> None:
        rows, device, rule = sizes.rows, like.beam.scores.device, like.rule
        hypotheses = like.beam.scores.shape[1]
        prefixes = like.constraints.prefixes.new_full((rows, sizes.forced), FREE)
        self._at = copy(like)  # a search in these tensors
        self._at.constraints = replace(like.constraints, prefixes=prefixes)
        self._at.trace = Trace.empty(rows, STEPS, rule.frame_size, like.end, device)
        tables: dict[str, Any] = {
            name: table.new_zeros(rows, *table.shape[1:]) for name, table in like.beam.tables().items()
        }
        tables["tokens"] = like.beam.tokens.new_zeros(rows, hypotheses, rule.max_length)
        tables["sentences"] = torch.arange(rows, device=device)
        self._at.beam = replace(like.beam, **tables, youngest=1)
        self._at.last = tables["tokens"][..., -1]
        self._at.state = like.state.static(rows, sizes.slots, STEPS, hypotheses)
        self._frames = torch.zeros(rows, dtype=torch.int64, device=device)
        self._open = torch.zeros((), dtype=torch.int64, device=device)
        self._captured, self._glance = Captured(device), Glance(device)

    def run(self, search: Searching) -> int:
        """Go on with a search until few sentences are open, or there is no room; returns how many are open."""
        age = search.beam.tokens.shape[2]
        before = self._load(search)
        enough, steps = before // 2 if before > FEW else 0, 0
        while steps < min(STEPS, search.rule.max_length - age):
            self._captured(self._advance)
            steps += 1
            if steps % LOOK_EVERY == 0:
                left = self._glance.answer()
                if left is not None and left <= enough:
                    break
                self._glance.ask(self._open)
        self._glance.forget()
        return self._give_back(search, age, steps)

    def _advance(self) -> None:
        """One step on the tensors."""
        at = self._at
        beam, parents = at.survive(at.model.step(at.state, at.last), self._frames)
        beam, parents = beam.part(slice(at.rule.beam_size)), parents[:, : at.rule.beam_size]
        at.state.select(None, parents)
        self._set(replace(beam, tokens=beam.tokens[..., 1:]))
        self._frames.add_(1)
        self._open.copy_((~beam.complete).sum())

    def _set(self, beam: Beam) -> None:
        """Make the tables of the section those of a beam, whose sentences are its first rows."""
        tables = self._at.beam.tables()
        for name, values in beam.tables().items():
            if name != "sentences":
                tables[name][: len(values)] = values

    def _load(self, search: Searching) -> int:
        """Take a search in; returns the number of its sentences. Other rows are complete, and go on with token 0."""
        beam, at = search.beam, self._at
        missing = at.rule.max_length - beam.tokens.shape[2]
        count = len(beam.sentences)
        self._set(replace(beam, tokens=F.pad(beam.tokens, (missing, 0), value=FREE)))
        at.beam.tokens[count:] = 0
        at.beam.complete[count:] = True
        width = at.constraints.prefixes.shape[1]
        at.constraints.prefixes.fill_(FREE)
        at.constraints.prefixes[:count] = search.constraints.prefixes[beam.sentences, :width]
        at.trace.scores.fill_(-torch.inf)
        at.state.load(search.state)
        self._frames.zero_()
        return count

    def _give_back(self, search: Searching, age: int, steps: int) -> int:
        """Let a search have done `steps` after the first `age`; returns how many of its sentences are open."""
        at, count = self._at, len(search.beam.sentences)
        numbers, trace = search.beam.sentences, search.trace
        for name in ("scores", "tokens", "parents"):
            getattr(trace, name)[numbers, age : age + steps] = getattr(at.trace, name)[:count, :steps]
        complete = at.beam.complete[:count]
        trace.complete(numbers, age + at.trace.last[:count], complete & ~search.beam.complete)
        rows = (~complete).nonzero().squeeze(1)
        tables: Any = {name: table[rows] for name, table in at.beam.tables().items()}
        tables["tokens"] = tables["tokens"][..., -age - steps :]
        tables["sentences"] = numbers[rows]
        search.beam = replace(search.beam, **tables, youngest=age + steps)
        search.last = search.beam.tokens[..., -1]
        at.state.give_back(search.state, rows, steps)
        return len(rows)
