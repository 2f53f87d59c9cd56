"""Corpus BLEU and chrF with sacrebleu."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from eval.metric import Array, Metric, left_out
from s2s.data.words import bleu_tokenization
from s2s.errors import InputError
from s2s.packages import load

_MAX_ORDER = 4


def bleu_and_chrf(hypotheses: Sequence[str], references: Sequence[str], tokenize: str = "auto") -> list[Metric]:
    """BLEU and chrF of a corpus with one reference each; the signatures are sacrebleu's own.

    BLEU is left out where no reference has four tokens: it would be 0 even for equal texts. `tokenize` is a name of
    sacrebleu, or "auto" to choose by the script of the references.
    """
    package = load("sacrebleu.metrics", "eval")
    name = bleu_tokenization(references) if tokenize == "auto" else tokenize
    try:
        bleu = package.BLEU(tokenize=name, force=True)
    except RuntimeError as error:
        extra = name.partition("-")[0]
        raise InputError(f'--tokenize {name}: not installed; it comes with pip install "sacrebleu[{extra}]"') from error
    chrf = _metric("chrF", package.CHRF(), hypotheses, references)
    counts = [len(bleu.tokenizer(text).split()) >= _MAX_ORDER for text in references]
    if not any(counts):
        reason = f"no reference has {_MAX_ORDER} tokens (tok:{name})"
        return [left_out("BLEU", len(references), reason), chrf]
    score = _metric("BLEU", bleu, hypotheses, references)

    def combine(sums: Array) -> Array:  # not defined for a resample without a reference of four tokens
        return np.where(sums[:, -1] > 0, score.combine(sums[:, :-1]), np.nan)

    return [replace(score, rows=np.column_stack([score.rows, counts]), combine=combine), chrf]


def _metric(name: str, scorer: Any, hypotheses: Sequence[str], references: Sequence[str]) -> Metric:
    # sacrebleu's own significance tests use these two private methods; a test compares them with corpus_score.
    outputs, targets = ([text.replace("\n", " ") for text in texts] for texts in (hypotheses, references))
    rows = np.asarray(scorer._extract_corpus_statistics(outputs, [targets]), dtype=float)

    def combine(sums: Array) -> Array:
        return np.array([scorer._compute_score_from_stats(row.astype(int).tolist()).score for row in sums])

    return Metric(name, rows, combine, f"{scorer.get_signature()}|norm:NFC")
