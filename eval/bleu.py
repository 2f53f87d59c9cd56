"""Corpus BLEU and chrF with sacrebleu."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eval.extras import load
from eval.metric import Array, Metric


def bleu_and_chrf(hypotheses: Sequence[str], references: Sequence[str]) -> list[Metric]:
    """BLEU and chrF of a corpus with one reference each; the signatures are sacrebleu's own."""
    package = load("sacrebleu.metrics")
    scorers = {"BLEU": package.BLEU(force=True), "chrF": package.CHRF()}
    return [_metric(name, scorer, hypotheses, references) for name, scorer in scorers.items()]


def _metric(name: str, scorer: Any, hypotheses: Sequence[str], references: Sequence[str]) -> Metric:
    # The two underscored methods are what sacrebleu's own significance tests are built on; a test holds them to the
    # public corpus_score.
    said, meant = ([text.replace("\n", " ") for text in texts] for texts in (hypotheses, references))
    rows = np.asarray(scorer._extract_corpus_statistics(said, [meant]), dtype=float)

    def combine(sums: Array) -> Array:
        return np.array([scorer._compute_score_from_stats(row.astype(int).tolist()).score for row in sums])

    return Metric(name, rows, combine, str(scorer.get_signature()))
