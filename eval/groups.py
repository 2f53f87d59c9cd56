"""Scores by the value of a field, such as the language, and their mean, in which each value counts alike.

Each group is scored by itself, so that each is tokenized as its own script asks. The mean is a metric like any other:
its rows hold those of each group in columns of their own, and intervals and tests resample the examples of all groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from eval.matching import Entry
from eval.metric import Array, Metric, left_out
from eval.report import Scored
from s2s.errors import InputError

_MAX_GROUPS = 100


def members_of(references: Sequence[Entry], by: str) -> dict[str, list[int]]:
    """The places of the references with each value of a field, values in order.

    Raises:
        InputError: there are more than a hundred values.
    """
    places: dict[str, list[int]] = {}
    for place, entry in enumerate(references):
        places.setdefault(str(entry.group), []).append(place)
    if len(places) > _MAX_GROUPS:
        raise InputError(f"--by {by}: must have at most {_MAX_GROUPS} values, found {len(places):,}")
    return dict(sorted(places.items()))


def mean_over(groups: Mapping[str, Scored]) -> Scored:
    """The mean of each metric over the groups of one system, by the names of the groups."""
    parts = (
        {group: {metric.name: metric for metric in getattr(scored, part)} for group, scored in groups.items()}
        for part in ("quality", "form")
    )
    sizes = {group: len(scored.form[0].rows) for group, scored in groups.items()}
    return Scored(*([_mean(name, part, sizes) for name in _names(part)] for part in parts))


def _names(metrics: Mapping[str, Mapping[str, Metric]]) -> list[str]:
    return list(dict.fromkeys(name for of_group in metrics.values() for name in of_group))


def _mean(name: str, metrics: Mapping[str, Mapping[str, Metric]], sizes: Mapping[str, int]) -> Metric:
    parts = {group: of.get(name, left_out(name, sizes[group], "")) for group, of in metrics.items()}
    ends = np.cumsum([part.rows.shape[1] for part in parts.values()])
    rows = np.zeros((sum(len(part.rows) for part in parts.values()), ends[-1]))
    start = 0
    for part, end in zip(parts.values(), ends, strict=True):
        rows[start : start + len(part.rows), end - part.rows.shape[1] : end] = part.rows
        start += len(part.rows)

    def combine(sums: Array) -> Array:
        columns = np.split(sums, ends[:-1], axis=1)
        values = np.stack([part.combine(own) for part, own in zip(parts.values(), columns, strict=True)])
        defined = (~np.isnan(values)).sum(axis=0)
        return np.where(defined > 0, np.nansum(values, axis=0) / np.maximum(defined, 1), np.nan)

    signature = _by_group({group: part.signature for group, part in parts.items()})
    return Metric(name, rows, combine, f"mean of {signature}", _by_group({g: part.note for g, part in parts.items()}))


def _by_group(texts: Mapping[str, str]) -> str:
    """Each different text once, with the groups that it is about."""
    groups: dict[str, list[str]] = {}
    for group, text in texts.items():
        groups.setdefault(text, []).append(group)
    return "; ".join(f"{', '.join(names)}: {text}" for text, names in groups.items() if text)
