"""Metrics of generated texts: those of `unilatent evaluate --task generic`, from rouge-score, sacrebleu and jiwer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from s2s.data.words import WordTokenizer, bleu_tokenization, nfc, words
from s2s.packages import load

Texts = Sequence[str]


@dataclass(frozen=True)
class TextMetric:
    """A metric of a whole set of outputs and their references.

    Args:
        score: Gives the value in per cent from outputs and as many references; NaN if no reference has a word. It
            imports the packages when it is called.
        package: What it needs, as `s2s.packages.load` takes it: a module, and the extra that brings it.
        lower_is_better: As for word errors.
    """

    score: Callable[[Texts, Texts], float]
    package: tuple[str, str]
    lower_is_better: bool = False
    of_pair: Callable[[str, str], float] | None = None
    """For two texts, where `score` is meant for many."""


def _rouge(kind: str, least_words: int, outputs: Texts, references: Texts) -> float:
    """Mean F1 over the references that have an n-gram of this length."""
    tokenizer = WordTokenizer(stem=True)
    scorer = load("rouge_score.rouge_scorer", "eval").RougeScorer([kind], tokenizer=tokenizer)
    scores = [
        scorer.score(target, output)[kind].fmeasure
        for output, target in zip(outputs, references, strict=True)
        if len(words(target)) >= least_words
    ]
    return 100 * sum(scores) / len(scores) if scores else math.nan


def _bleu(outputs: Texts, references: Texts) -> float:
    tokenize = bleu_tokenization(references)
    bleu = load("sacrebleu.metrics", "eval").BLEU(tokenize=tokenize, force=True)
    return float(bleu.corpus_score(_lines(outputs), [_lines(references)]).score)


def _sentence_bleu(output: str, reference: str) -> float:
    (target,) = _lines([reference])
    bleu = load("sacrebleu.metrics", "eval").BLEU(tokenize=bleu_tokenization([target]), effective_order=True)
    return float(bleu.sentence_score(*_lines([output]), [target]).score)


def _chrf(outputs: Texts, references: Texts) -> float:
    return float(load("sacrebleu.metrics", "eval").CHRF().corpus_score(_lines(outputs), [_lines(references)]).score)


def _lines(texts: Texts) -> list[str]:
    return [text.replace("\n", " ") for text in texts]


def _wer(outputs: Texts, references: Texts) -> float:
    pairs = [(words(target), words(output)) for target, output in zip(references, outputs, strict=True)]
    meant, said = ([" ".join(pair[side]) for pair in pairs if pair[0]] for side in (0, 1))
    return 100 * float(load("jiwer", "recognition").wer(meant, said)) if meant else math.nan


_ROUGE, _SACREBLEU = ("rouge_score", "eval"), ("sacrebleu", "eval")
TEXT_METRICS = {
    "rouge_1": TextMetric(partial(_rouge, "rouge1", 1), _ROUGE),
    "rouge_2": TextMetric(partial(_rouge, "rouge2", 2), _ROUGE),
    "rouge_l": TextMetric(partial(_rouge, "rougeL", 1), _ROUGE),
    "bleu": TextMetric(_bleu, _SACREBLEU, of_pair=_sentence_bleu),
    "chrf": TextMetric(_chrf, _SACREBLEU),
    "wer": TextMetric(_wer, ("jiwer", "recognition"), lower_is_better=True),
}
"""By the values of `train.keep_best_by` and `decoder.metric`."""


def score(name: str, outputs: Texts, references: Texts) -> float:
    """The metric of that name for outputs and their references, compared in Unicode form NFC."""
    return TEXT_METRICS[name].score([nfc(text) for text in outputs], [nfc(text) for text in references])


def likeness(name: str, output: str, reference: str) -> float:
    """The metric of that name for two texts, such that higher is better; 0 if it is not defined for them."""
    metric = TEXT_METRICS[name]
    if metric.of_pair is None:
        value = score(name, [output], [reference])
    else:
        value = metric.of_pair(nfc(output), nfc(reference))
    return 0.0 if math.isnan(value) else -value if metric.lower_is_better else value
