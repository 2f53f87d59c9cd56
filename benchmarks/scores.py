"""Scores of systems that were trained with several seeds, as cells of tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from eval.bootstrap import Difference, compare, interval
from eval.metric import Metric
from eval.rouge import rouge
from s2s.data.jsonl import read_records
from s2s.data.words import nfc

RESAMPLES = 1000


class SeedScores(NamedTuple):
    """The metrics of a system's outputs, one list for each seed."""

    metrics: list[list[Metric]]

    @classmethod
    def read(cls, outputs: Sequence[Path], targets: Sequence[str]) -> SeedScores:
        """ROUGE of each file with a line for each target."""
        texts = [[nfc(record["tgt"]) for _, record in read_records(path)] for path in outputs]
        return cls([rouge(of_seed, [nfc(target) for target in targets], any_script=True)[:3] for of_seed in texts])

    @property
    def means(self) -> list[Metric]:
        """The metrics with the rows of each pair averaged over seeds."""
        columns = zip(*self.metrics, strict=True)
        return [replace(of_seeds[0], rows=np.mean([one.rows for one in of_seeds], axis=0)) for of_seeds in columns]

    def cells(self) -> list[str]:
        """The means with half the width of their intervals, and the last metric of each seed."""
        return [*map(_score, self.means), ", ".join(f"{metrics[-1].value():.1f}" for metrics in self.metrics)]

    def against(self, other: SeedScores) -> list[str]:
        """The paired differences to another system, by metric, each with its interval and its p-value."""
        pairs = zip(self.means, other.means, strict=True)
        return [_difference(compare(own, base, RESAMPLES, 0)) for own, base in pairs]


def line(cells: Sequence[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"


def heading(cells: Sequence[str]) -> list[str]:
    """The first two lines of a table."""
    return [line(cells), "|" + "---|" * len(cells)]


def _score(metric: Metric) -> str:
    found = interval(metric, RESAMPLES, 0)
    return "-" if found is None else f"{found.value:.1f} ±{(found.high - found.low) / 2:.1f}"


def _difference(found: Difference | None) -> str:
    return (
        "-" if found is None else f"{found.value:+.1f} ({found.low:.1f} to {found.high:.1f}), p = {found.p_value:.2g}"
    )
