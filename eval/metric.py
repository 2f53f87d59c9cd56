"""A metric is one row of numbers per example, and a function of their sum.

The rows are enough to score any resample of the test set without looking at the text again: a mean keeps (value, 1),
corpus BLEU keeps its n-gram counts and lengths. Intervals and tests (eval/bootstrap.py) know nothing else of a metric.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """One metric of one system on one test set.

    Args:
        name: The heading of its column, with the unit where it is not per cent ("words").
        rows: Statistics `(N, F)`, one row per example.
        combine: From sums of rows `(R, F)` to values `(R,)`, one for each of R samples of the examples.
        signature: What was computed, exactly, for whoever wants the same number again.
    """

    name: str
    rows: Array
    combine: Callable[[Array], Array]
    signature: str

    def value(self) -> float:
        """The metric on the whole test set."""
        return float(self.combine(self.rows.sum(axis=0, keepdims=True))[0])


def ratio(name: str, parts: Sequence[float], wholes: Sequence[float], signature: str, scale: float = 100.0) -> Metric:
    """Sum of the parts over sum of the wholes, in per cent; 0 where the wholes sum to 0."""

    def combine(sums: Array) -> Array:
        return scale * sums[:, 0] / np.maximum(sums[:, 1], 1e-12)

    return Metric(name, np.stack([np.asarray(parts, float), np.asarray(wholes, float)], axis=1), combine, signature)


def mean(name: str, values: Sequence[float], signature: str, scale: float = 100.0) -> Metric:
    """Mean of one value per example, in per cent."""
    return ratio(name, values, [1.0] * len(values), signature, scale)
