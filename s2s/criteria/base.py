"""The interface of a criterion: sums and weights, never means, so that the trainer can divide once for all ranks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

from torch import Tensor, nn

from s2s.config import Section


class Criterion(nn.Module):
    """What training minimizes: for each name in `losses` the sum over the batch divided by the global weight.

    Other names that `forward` returns are measurements (accuracy, say); they are divided and logged alike.
    """

    losses: ClassVar[tuple[str, ...]] = ("loss",)
    phases: ClassVar[tuple[str, ...]] = ("model",)

    class Config(Section):
        """Options of a criterion."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def weights(self, batch: Any) -> dict[str, float]:
        """What each sum is to be divided by, for this batch alone; the trainer adds up micro-batches and ranks."""

    @abstractmethod
    def forward(self, model: nn.Module, batch: Any, phase: str = "model") -> dict[str, Tensor]:
        """Sums over the batch, scalars, under the names of `weights`."""

    def check(self, model: nn.Module) -> None:
        """Refuse a model that this criterion cannot train.

        Raises:
            ConfigError: it cannot.
        """

    def parameters_of(self, phase: str, model: nn.Module) -> Iterable[nn.Parameter]:
        """The parameters that `phase` trains."""
        return model.parameters()
