"""An exponential moving average of the weights, which often generalizes better than the last weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from s2s.training.distributed import local


class EMA:
    """Exponential moving average of named tensors; sharded ones stay sharded.

    The decay is min(decay, (1 + n) / (10 + n)) at update n, so that the first weights do not dominate short runs.

    Source: Polyak & Juditsky (1992); the warm-up of the decay is that of TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, weights: Mapping[str, Tensor], decay: float) -> None:
        self._weights = weights
        self._decay = decay
        self.mean = {name: weight.detach().clone() for name, weight in weights.items()}

    def update(self, step: int) -> None:
        """Average in the weights after update number `step`, counted from 1."""
        decay = min(self._decay, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, weight in self._weights.items():
                if weight.is_floating_point():
                    local(self.mean[name]).lerp_(local(weight.detach()), 1 - decay)
                else:
                    local(self.mean[name]).copy_(local(weight))

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """A block in which the model has the mean as its weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        with torch.no_grad():
            for name, weight in self._weights.items():
                mine, mean = local(weight.detach()), local(self.mean[name])
                kept = mine.clone()
                mine.copy_(mean)
                mean.copy_(kept)
