"""A metric of generated texts, measured at each validation by decoding a fixed part of the validation data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from s2s.data.batching import BatchSampler
from s2s.data.text_metrics import score
from s2s.decoding.base import Search
from s2s.errors import InputError
from s2s.ranks import Ranks
from s2s.tasks.base import GenerationTask, Reference

SAMPLES = 3
_MAX_TOKENS, _MAX_SENTENCES = 4096, 25
"""Size of a batch; small enough that several ranks have work."""


@dataclass(frozen=True)
class Sample:
    """One output beside what was read and what was expected."""

    source: str
    reference: str
    output: str


def spread(size: int, count: int) -> list[int]:
    """`count` places spread evenly over `size`; all of them if there are no more."""
    count = min(size, count)
    return [number * size // count for number in range(count)]


class GenerationMetric:
    """Decodes references and scores the outputs; every rank decodes some of the batches, and all get the same value.

    Args:
        name: A name in `s2s.data.text_metrics.TEXT_METRICS`.
        task: Spells the outputs.
        search: The run's decoder.
        references: What to generate from, the same on all ranks.
    """

    def __init__(
        self, name: str, task: GenerationTask, search: Search, references: Sequence[Reference], ranks: Ranks
    ) -> None:
        self.name = name
        self._task, self._search, self._references, self._ranks = task, search, references, ranks
        for number, reference in enumerate(references):
            search.check(reference.example, f"task.valid: example {number + 1}")
        lengths = np.array([len(reference.example.tokens) for reference in references])
        budget = max(_MAX_TOKENS, int(lengths.max()))
        self._batches = BatchSampler(lengths, budget, _MAX_SENTENCES, seed=0, shuffle=False).epoch(0)

    def measure(self, model: Any) -> tuple[float, list[Sample]]:
        """The metric in per cent, and some outputs; the outputs are empty on ranks other than the first.

        Args:
            model: In evaluation mode, with whole weights.

        Raises:
            InputError: the metric is not defined for these references.
        """
        mine = [
            row for rows in self._batches[self._ranks.rank :: self._ranks.size] for row in self._decode(model, rows)
        ]
        found = dict(self._ranks.gather(mine))
        value, samples = 0.0, list[Sample]()
        with self._ranks.together():
            if self._ranks.first:
                outputs = [self._text(found[row], reference) for row, reference in enumerate(self._references)]
                value = score(self.name, outputs, [reference.target for reference in self._references])
                pairs = [(self._references[row], outputs[row]) for row in spread(len(outputs), SAMPLES)]
                samples = [Sample(reference.source, reference.target, output) for reference, output in pairs]
        value = self._ranks.sum([value])[0]
        if not math.isfinite(value):
            raise InputError(f"train.keep_best_by: {self.name} is not defined, no validation target has a word")
        return value, samples

    def _decode(self, model: Any, rows: Sequence[int]) -> list[tuple[int, list[int]]]:
        sources = self._task.collate_sources([self._references[row].example for row in rows])
        best = [hypotheses[0] for hypotheses in self._search(model, sources.to(self._ranks.device))]
        return [(row, list(hypothesis.tokens)) for row, hypothesis in zip(rows, best, strict=True)]

    def _text(self, tokens: Sequence[int], reference: Reference) -> str:
        return self._task.output(tokens, reference.spelled_by)
