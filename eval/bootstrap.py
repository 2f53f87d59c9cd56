"""How sure a score is: percentile bootstrap intervals, and approximate randomization for two systems.

Source: Koehn, Statistical significance tests for machine translation evaluation, EMNLP 2004 (bootstrap); Riezler and
Maxwell, On some pitfalls in automatic evaluation and significance testing for MT, 2005 (randomization).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.metric import Array, Metric

_CHUNK = 64  # samples drawn at a time, so that a large test set fits into memory


@dataclass(frozen=True)
class Interval:
    """A value and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """System minus baseline, its 95 % interval, and the two-sided p-value of no difference."""

    value: float
    low: float
    high: float
    p_value: float


def interval(metric: Metric, resamples: int, seed: int) -> Interval | None:
    """The metric with its percentile interval over resamples of the examples, drawn with replacement.

    None where the metric is not defined; a resample in which it is not does not count.
    """
    if np.isnan(value := metric.value()):
        return None
    scores = metric.combine(_resampled_sums(metric.rows, resamples, seed))
    return Interval(value, *_ends(scores))


def compare(system: Metric, baseline: Metric, resamples: int, seed: int) -> Difference | None:
    """Difference of one metric between two systems on the same examples.

    The interval resamples the examples, the same ones for both. The p-value swaps the two outputs of random examples
    and counts how often the difference is at least as large as the one observed. None where the metric is not defined.
    """
    assert system.rows.shape == baseline.rows.shape, "two systems must be scored on the same examples"
    observed = system.value() - baseline.value()
    if np.isnan(observed):
        return None
    resampled = system.combine(_resampled_sums(system.rows, resamples, seed)) - baseline.combine(
        _resampled_sums(baseline.rows, resamples, seed)
    )
    change = baseline.rows - system.rows
    swapped = np.concatenate([swaps @ change for swaps in _draws(2, len(change), resamples, seed)])
    shuffled = system.combine(system.rows.sum(axis=0) + swapped) - baseline.combine(baseline.rows.sum(axis=0) - swapped)
    as_large = np.count_nonzero(np.abs(shuffled) >= abs(observed) - 1e-9)
    return Difference(observed, *_ends(resampled), float((as_large + 1) / (resamples + 1)))


def _ends(scores: Array) -> tuple[float, float]:
    low, high = np.nanpercentile(scores, [2.5, 97.5])
    return float(low), float(high)


def _resampled_sums(rows: Array, resamples: int, seed: int) -> Array:
    """Sums of `rows` over each resample, `(resamples, F)`; equal seeds and lengths give equal resamples."""
    size = len(rows)
    counts = ([np.bincount(draw, minlength=size) for draw in draws] for draws in _draws(size, size, resamples, seed))
    return np.concatenate([np.array(times, dtype=float) @ rows for times in counts])


def _draws(high: int, examples: int, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Integers from 0 to `high` - 1, `(up to _CHUNK, examples)` at a time."""
    generator = np.random.default_rng(seed)
    for start in range(0, resamples, _CHUNK):
        yield generator.integers(high, size=(min(_CHUNK, resamples - start), examples))
