"""The interface of a criterion: sums and weights, never means, so that the trainer can divide once for all ranks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Protocol, runtime_checkable

from torch import Tensor, nn

from s2s.config import Section
from s2s.data.batch import Batch, TokenBatch
from s2s.errors import ConfigError


@runtime_checkable
class Scorer(Protocol):
    """A model that scores the vocabulary at some positions of a batch: what criteria of text train."""

    def features(self, batch: TokenBatch) -> Tensor:
        """Hidden states at `batch.slots`, `(N, D)`: only rows where a loss is read."""

    def logits(self, features: Tensor) -> Tensor:
        """Scores over the vocabulary, `(N, V)`, of rows of features, `(N, D)`."""


class Criterion(nn.Module):
    """What training minimizes: for each name in `losses` the sum over the batch divided by the global weight.

    Other names that `forward` returns are measurements (accuracy, say); they are divided and logged in the same way.
    """

    losses: ClassVar[tuple[str, ...]] = ("loss",)
    phases: ClassVar[tuple[str, ...]] = ("model",)
    model_type: ClassVar[type] = nn.Module
    """The class or protocol of the models that it trains."""
    batch_type: ClassVar[type] = object
    """The class of the batches that it reads."""

    class Config(Section):
        """Options of a criterion."""

    config: Section

    def __init__(self, config: Section) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def weights(self, batch: Any) -> dict[str, float]:
        """What each sum is to be divided by, for this batch alone; the trainer adds up micro-batches and ranks."""

    @abstractmethod
    def forward(self, model: Any, batch: Any, phase: str = "model") -> dict[str, Tensor]:
        """Sums over the batch, scalars, under the names of `weights`."""

    def check(self, model: nn.Module, batch: Batch) -> None:
        """Refuse a model or a batch that this criterion cannot train; called with one batch before the first update.

        Raises:
            ConfigError: why it cannot.
        """
        for given, wanted in ((model, self.model_type), (batch, self.batch_type)):
            if not isinstance(given, wanted):
                raise ConfigError(f"{type(self).__name__} needs a {wanted.__name__}, found a {type(given).__name__}")

    def parameters_of(self, phase: str, model: nn.Module) -> Iterable[nn.Parameter]:
        """The parameters that `phase` trains."""
        return model.parameters()
