"""A metric is one row of numbers per example, and a function of their sum.

The rows are enough to score any resample of the test set without looking at the text again: a mean keeps (value, 1),
corpus BLEU keeps its n-gram counts and lengths. Intervals and tests (eval/bootstrap.py) know nothing else of a metric.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """One metric of one system on one test set.

    Args:
        name: The heading of its column, with the unit where it is not per cent ("words").
        rows: Statistics `(N, F)`, one row per example.
        combine: Sums of rows `(R, F)` to values `(R,)`, one for each of R resamples; NaN where not defined.
        signature: What was computed, exactly, so that others can compute it too.
        note: What a reader must know about this value, or why there is none.
    """

    name: str
    rows: Array
    combine: Callable[[Array], Array]
    signature: str
    note: str = ""

    def value(self) -> float:
        """The metric on the whole test set; NaN where it is not defined."""
        return float(self.combine(self.rows.sum(axis=0, keepdims=True))[0])


def ratio(
    name: str, parts: ArrayLike, wholes: ArrayLike, signature: str, scale: float = 100.0, note: str = ""
) -> Metric:
    """Sum of the parts over sum of the wholes, in per cent; not defined, and noted, where the wholes sum to 0."""

    def combine(sums: Array) -> Array:
        wholes = np.where(sums[:, 1] > 0, sums[:, 1], np.nan)
        return np.asarray(scale * sums[:, 0] / wholes)

    rows = np.stack([np.asarray(parts, float), np.asarray(wholes, float)], axis=1)
    return Metric(name, rows, combine, signature, "" if rows[:, 1].sum() > 0 else note)


def mean(name: str, values: Sequence[float], signature: str, scale: float = 100.0) -> Metric:
    """Mean of one value per example, in per cent."""
    return ratio(name, values, [1.0] * len(values), signature, scale)


def left_out(name: str, examples: int, reason: str) -> Metric:
    """A metric that is not defined for these texts; its note says why."""
    return Metric(name, np.zeros((examples, 1)), lambda sums: np.full(len(sums), np.nan), reason, reason)
