"""What UniLM remembers while it generates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from s2s.data.batch import Feeding
from s2s.nn.cache import Pool, placed
from s2s.nn.placing import Placing
from s2s.nn.static_cache import StaticPool


@dataclass
class UniLMState:
    """State while sentences are generated.

    Args:
        pool: Keys and values of sources and outputs.
        placing: What positions do to attention.
        following: The position of the next token of each sentence, `(B,)` int64.
        feeding: How the model is fed.
        steps_left: Maximum number of steps that may follow.
        max_positions: Of the model.
        query_factor: By what queries of outputs are multiplied.
    """

    pool: Pool
    placing: Placing
    following: Tensor
    feeding: Feeding
    steps_left: int
    max_positions: int
    query_factor: float = 1.0

    def advance(self) -> None:
        """One step more; a sentence that is no longer needed may go on longer than the positions reach."""
        self.following = (self.following + 1).clamp(max=self.max_positions - 1)
        self.steps_left -= 1

    def select(self, sentences: Tensor | None, parents: Tensor) -> None:
        """See `s2s.decoding.base.State`."""
        self.pool.select(sentences, parents)
        if sentences is not None:
            self.following = self.following.index_select(0, sentences)

    @property
    def slots(self) -> int:
        """See `s2s.decoding.static.Steadied`."""
        return self.pool.slots

    def static(self, rows: int, slots: int, steps: int, hypotheses: int) -> StaticUniLMState:
        """See `s2s.decoding.static.Steadied`."""
        pool = StaticPool(self.pool, rows, slots, steps, hypotheses)
        following = self.following.new_ones(rows)  # as after one token, also of rows that hold no sentence
        return StaticUniLMState(
            pool, self.placing, following, self.feeding, steps, self.max_positions, self.query_factor
        )

    def join(self, other: UniLMState, places: Sequence[int]) -> None:
        """See `s2s.decoding.base.JoinableState`."""
        self.steps_left = max(self.steps_left, other.steps_left)
        self.pool.join(other.pool, places, self.steps_left)
        self.following = placed(self.following, other.following, places)


@dataclass
class StaticUniLMState:
    """A state whose tensors keep their places and shapes; `UniLM.step` takes it as it takes a `UniLMState`."""

    pool: StaticPool
    placing: Placing
    following: Tensor
    feeding: Feeding
    steps_left: int
    max_positions: int
    query_factor: float

    def advance(self) -> None:
        """See `UniLMState`."""
        self.following.add_(1).clamp_(max=self.max_positions - 1)

    def select(self, sentences: Tensor | None, parents: Tensor) -> None:
        """See `s2s.decoding.base.State`; all sentences stay."""
        self.pool.select(parents)

    def load(self, state: UniLMState) -> None:
        """See `s2s.decoding.static.StaticState`."""
        self.pool.load(state.pool)
        self.following[: len(state.following)] = state.following

    def give_back(self, state: UniLMState, rows: Tensor, steps: int) -> None:
        """See `s2s.decoding.static.StaticState`."""
        state.pool = self.pool.pool(rows, state.slots + steps * self.pool.hypotheses)
        state.following = self.following[rows]
        state.steps_left -= steps
