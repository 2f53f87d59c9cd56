"""The interface of a criterion: sums and weights instead of means, so that the trainer divides once for all ranks."""

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
    """A model that scores the vocabulary at some positions of a batch, as criteria of text need."""

    def features(self, batch: TokenBatch) -> Tensor:
        """Hidden states at `batch.slots`, `(N, D)`."""

    def logits(self, features: Tensor) -> Tensor:
        """Scores over the vocabulary, `(N, V)`, of rows of features, `(N, D)`."""


class Criterion(nn.Module):
    """What training minimizes: the sums of the names in `losses`, each divided by its global weight.

    Other names that `forward` returns are measurements, such as accuracy; they are divided and logged in the same way.
    """

    losses: ClassVar[tuple[str, ...]] = ("loss",)
    adversarial_losses: ClassVar[tuple[str, ...]] = ()
    """Those of `losses` that change as an opponent learns; they do not say which of two validations is better."""
    phases: ClassVar[tuple[str, ...]] = ("model",)
    reaches_all_parameters: ClassVar[bool] = True
    """Whether the losses of all phases together depend on every parameter of the model."""
    model_type: ClassVar[type] = nn.Module
    """The class or protocol of the models that it can train."""
    batch_type: ClassVar[type] = object
    """The class of the batches that it can read."""

    class Config(Section):
        """Options of a criterion."""

    config: Section

    def __init__(self, config: Section) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def weights(self, batch: Any) -> dict[str, float]:
        """The divisor of each sum, for this batch alone; the trainer adds up micro-batches and ranks."""

    @abstractmethod
    def forward(self, model: Any, batch: Any, phase: str = "model") -> dict[str, Tensor]:
        """Scalar sums over the batch, under the names of `weights`."""

    def check(self, model: nn.Module, batch: Batch) -> None:
        """Raise a ConfigError if it cannot train this model on such a batch; called once, before the first update."""
        for given, wanted in ((model, self.model_type), (batch, self.batch_type)):
            if not isinstance(given, wanted):
                names = (type(self).__name__, type(given).__name__, wanted.__name__)
                raise ConfigError("criterion.name: {} cannot train on {}; expected {}".format(*names))

    def parameters_of(self, phase: str, model: nn.Module) -> Iterable[nn.Parameter]:
        """The parameters that `phase` trains."""
        return model.parameters()
