"""The interface of a model: features and logits for training, start and step for generation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from s2s.config import Section
from s2s.data.batch import SourceBatch


class State(Protocol):
    """What a model remembers while it generates; the caller holds it. B sentences, K hypotheses of each."""

    def select(self, sentences: Tensor | None, parents: Tensor) -> None:
        """Keep some sentences, and let hypotheses continue others of the same sentence.

        Args:
            sentences: Rows to keep, `(B',)` int64, or None for all of them.
            parents: For each hypothesis the one whose tokens it continues, `(B', K')` int64, indices into the K
                hypotheses of that sentence at the last step.
        """


class Model(nn.Module):
    """A network with its configuration."""

    class Config(Section):
        """Options of a model."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    @classmethod
    def resolve(cls, config: Any, defaults: dict[str, int]) -> Any:
        """The configuration with every size filled in: from the checkpoint it names, then from the task.

        Args:
            config: The section as the user wrote it.
            defaults: `Task.model_defaults()`.

        Raises:
            ConfigError: the checkpoint, the task and the user disagree about a size.
        """
        return config

    def initialize(self) -> None:
        """Load the pretrained weights that the configuration names; a new training run calls it once."""

    def expect(self, token_counts: Callable[[], NDArray[np.int64]]) -> None:
        """Begin with the frequencies of tokens, if the configuration says so; after `initialize`, once.

        Args:
            token_counts: Gives how often each token occurs, `(V,)`; called only if it is needed.
        """

    def prepare(self) -> None:
        """Bring the weights, in place, into the form that is fastest to generate with; nothing can train or save them.

        Call it once, on the device and in the precision that generation uses.
        """

    @abstractmethod
    def features(self, batch: Any) -> Tensor:
        """Hidden states at `batch.slots`, `(N, D)`: only rows where a loss is read."""

    @abstractmethod
    def logits(self, features: Tensor) -> Tensor:
        """Scores over the vocabulary, `(N, V)`, of rows of features, `(N, D)`."""

    def forward(self, batch: Any) -> Tensor:
        """Scores over the vocabulary at `batch.slots`, `(N, V)`."""
        return self.logits(self.features(batch))

    def blocks(self) -> list[nn.Module]:
        """The layers that FSDP shards, and activation checkpointing wraps, one by one."""
        return []


class Generator(Protocol):
    """What a decoder needs of a model."""

    def start(self, sources: SourceBatch, max_steps: int) -> State:
        """Read the sources; at most `max_steps` calls of `step` may follow."""

    def step(self, state: Any, tokens: Tensor | None) -> Tensor:
        """Append one token to each hypothesis and score the next one.

        Args:
            state: From `start`, changed in place.
            tokens: The last token of each hypothesis, `(B, K)` int64; None at the first step, before any token.

        Returns:
            Unnormalized scores, `(B, K, V)`; at the first step K is 1.
        """
