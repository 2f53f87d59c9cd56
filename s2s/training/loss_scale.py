"""A scale of the loss that keeps float16 gradients from vanishing, and finds its own size."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from s2s.training.distributed import local

_LARGEST = 2.0**24


@dataclass
class LossScale:
    """Multiplies the loss before the backward pass and divides the gradients after it.

    Gradients that are not finite halve the scale, and the update is skipped. After 2,000 good updates it doubles.
    Powers of two change no digit of a gradient that float16 can hold. Unlike torch's GradScaler, it decides by the norm
    over all ranks, which shards of a gradient need.

    Source: Micikevicius et al. (2018); the constants are those of torch.
    """

    value: float = 2.0**16
    good_updates: int = 0
    """Updates since the scale last changed."""
    patience: int = 2000

    def unscale(self, parameters: Iterable[nn.Parameter]) -> None:
        """Divide the gradients, in place."""
        for parameter in parameters:
            if parameter.grad is not None:
                local(parameter.grad).mul_(1 / self.value)

    def adapt(self, finite: bool) -> None:
        """Take note of an update whose gradients were `finite` or not."""
        self.good_updates = self.good_updates + 1 if finite else 0
        if not finite:
            self.value /= 2
        elif self.good_updates >= self.patience:
            self.value, self.good_updates = min(2 * self.value, _LARGEST), 0

    @property
    def is_exhausted(self) -> bool:
        """Whether a smaller scale would help no more: the gradients themselves are not finite."""
        return self.value < 1
