"""BLEU-4, METEOR and ROUGE-L as question generation reports them: coco-caption's definitions, several references.

Source: Du et al., Learning to Ask, ACL 2017 (protocol); Zhou et al., arXiv 1704.01792. METEOR is NLTK's (the 2007
parameters, WordNet synonyms), not the Java METEOR 1.5 of published tables: compare it between your own systems only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache, reduce
from operator import or_
from typing import Any

import numpy as np

from eval.metric import Array, Metric, left_out, mean
from eval.py_rouge import common_subsequence
from s2s.data.words import has_blanks_between_words, ngrams
from s2s.errors import InputError
from s2s.packages import load, version_of

_BETA = 1.2  # weight of recall over precision in ROUGE-L
_NO_WORDNET = (
    "METEOR needs WordNet: `python -m nltk.downloader wordnet`, or, from Debian, set NLTK_DATA=DIR after "
    "`apt install wordnet-base wordnet-sense-index; mkdir -p DIR/corpora/wordnet; cp /usr/share/wordnet/* "
    "DIR/corpora/wordnet; seq -f '%02g any.file 1' 0 44 > DIR/corpora/wordnet/lexnames`"
)


def group_by_source(sources: Sequence[str]) -> list[list[int]]:
    """Places of the examples that share a source, lower-cased, in the order of first appearance.

    A source is scored once: the *last* of its hypotheses against all its references.
    """
    groups: dict[str, list[int]] = {}
    for place, source in enumerate(sources):
        groups.setdefault(source.strip().lower(), []).append(place)
    return list(groups.values())


def metrics(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> list[Metric]:
    """BLEU-4, METEOR and ROUGE-L of tokens between spaces; what cannot score them, or lacks its data, is left out."""
    texts = [text for group in references for text in group]
    if not has_blanks_between_words(texts):
        reason = "it divides text at blanks, and the references have none between words; try --task generic"
        return [left_out(name, len(hypotheses), reason) for name in ("BLEU-4", "METEOR", "ROUGE-L")]
    if any(len(text.split()) > 3 for text in texts):
        by_words = bleu(hypotheses, references)
    else:
        by_words = left_out("BLEU-4", len(hypotheses), "no reference has 4 tokens")
    try:
        scored = meteor(hypotheses, references)
    except InputError as error:
        scored = left_out("METEOR", len(hypotheses), str(error))
    return [by_words, scored, rouge_l(hypotheses, references)]


def bleu(hypotheses: Sequence[str], references: Sequence[Sequence[str]], order: int = 4) -> Metric:
    """Corpus BLEU of n-grams up to `order`, not smoothed; the brevity penalty takes the reference closest in length."""
    rows = [
        _bleu_row(output.split(), [one.split() for one in targets])
        for output, targets in zip(hypotheses, references, strict=True)
    ]

    def combine(sums: Array) -> Array:
        hits, counts, length, closest = sums[:, 0:4], sums[:, 4:8], sums[:, 8], sums[:, 9]
        logs = np.log((hits[:, :order] + 1e-15) / (counts[:, :order] + 1e-9)).mean(axis=1)
        brevity = np.minimum(0.0, 1 - (closest + 1e-15) / np.maximum(length, 1e-9))
        return np.asarray(100 * np.exp(logs + brevity))

    signature = f"coco-caption BLEU-{order}, closest reference, no smoothing"
    return Metric(f"BLEU-{order}", np.array(rows, dtype=float), combine, signature)


def rouge_l(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Metric:
    """Mean ROUGE-L of coco-caption: best precision and best recall over the references, beta 1.2."""
    values = [
        _rouge_l(output.split(), [one.split() for one in targets])
        for output, targets in zip(hypotheses, references, strict=True)
    ]
    return mean("ROUGE-L", values, "coco-caption ROUGE-L, beta 1.2")


def meteor(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Metric:
    """Mean METEOR of NLTK, the best over the references."""
    score, wordnet = load("nltk.translate.meteor_score", "eval").meteor_score, _wordnet()
    values = [
        score([one.split() for one in targets], output.split(), wordnet=wordnet)
        for output, targets in zip(hypotheses, references, strict=True)
    ]
    return mean("METEOR", values, f"nltk {version_of('nltk')} METEOR, WordNet synonyms; not METEOR 1.5")


@cache
def _wordnet() -> Any:
    wordnet = load("nltk.corpus", "eval").wordnet
    try:
        wordnet.ensure_loaded()
    except (LookupError, OSError) as error:  # no WordNet, or not all of its files
        raise InputError(_NO_WORDNET) from error
    return wordnet


def _bleu_row(output: list[str], targets: list[list[str]]) -> list[float]:
    """Clipped hits and counts of 1- to 4-grams, the length, and that of the closest reference (the shorter of two)."""
    hits, counts = [], []
    for size in range(1, 5):
        ours = Counter(ngrams(output, size))
        most = reduce(or_, (Counter(ngrams(reference, size)) for reference in targets))
        hits.append((ours & most).total())
        counts.append(ours.total())
    closest = min((abs(len(reference) - len(output)), len(reference)) for reference in targets)[1]
    return [*hits, *counts, len(output), closest]


def _rouge_l(output: list[str], targets: list[list[str]]) -> float:
    common = [len(common_subsequence(reference, output)) for reference in targets]
    if not any(common):
        return 0.0
    precision = max(common) / len(output)
    recall = max(length / len(reference) for length, reference in zip(common, targets, strict=True))
    return (1 + _BETA**2) * precision * recall / (recall + _BETA**2 * precision)
