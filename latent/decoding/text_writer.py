"""Text that a `LatentLM` writes after a prompt of tokens and audio: what a search needs of it.

Axes: B texts, K hypotheses of each, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from latent.nn.writing import TextState, Writing, joined
from s2s.data.batch import Feeding, SourceBatch


@dataclass(frozen=True)
class ReadPrompts(SourceBatch):
    """Prompts that have been read: the sources of a search with a `TextWriter`.

    Args:
        state: After all prompts; a search changes it.
        limits: Maximum number of tokens of each text.
    """

    state: TextState
    limits: Sequence[int]

    @classmethod
    def of(cls, ids: Sequence[str], states: Sequence[TextState], limits: Sequence[int], end: int) -> ReadPrompts:
        """The prompts of B texts, each from a state of its own, which is used up."""
        state = joined(states)
        nothing = state.following.new_zeros(len(ids), 0)
        return cls(list(ids), nothing, state.following, Feeding(end=end, start=end), [[] for _ in ids], state, limits)


class TextWriter(Writing):
    """A `LatentLM` as the `StepModel` of a search.

    Args:
        language: A `LatentLM`, in evaluation mode.
        stops: Tokens that end a text. A search knows the first one alone, which gets the score of the best of them.
        unwritten: Tokens that no text has.
    """

    def __init__(self, language: Any, stops: Sequence[int], unwritten: Sequence[int] = ()) -> None:
        super().__init__(language)
        self.stops, self._unwritten = stops, [*stops[1:], *unwritten]

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of the vocabulary, `(..., V)`, from hidden states `(..., D)`."""
        return self.language.logits(hidden)  # type: ignore[no-any-return]

    def start(self, sources: SourceBatch, max_steps: int) -> TextState:
        """See `s2s.decoding.base.StepModel`; the sources are `ReadPrompts`."""
        assert isinstance(sources, ReadPrompts)
        return sources.state

    def step(self, state: TextState, tokens: Tensor | None) -> Tensor:
        """See `s2s.decoding.base.StepModel`."""
        if tokens is None:
            return self._ending(self.logits(state.hidden)).unsqueeze(1)
        return self._ending(self.logits(self.write(state, tokens)))

    def _ending(self, logits: Tensor) -> Tensor:
        if len(self.stops) > 1:
            logits[..., self.stops[0]] = logits[..., list(self.stops)].amax(-1)
        if self._unwritten:
            logits[..., self._unwritten] = -torch.inf
        return logits
