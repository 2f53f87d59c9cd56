"""What the best weights are chosen by: the validation loss, or a metric of generated texts.

The metrics are those of `unilatent evaluate --task generic`, from the same packages: rouge-score, sacrebleu, jiwer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from s2s.data.words import WordTokenizer, bleu_tokenization, nfc, words
from s2s.packages import load

LOSS = "loss"
FACTS = frozenset(("split", "step", "epoch", "lr", "grad_norm", "tokens_per_s", "seconds"))
"""What a record of the log holds beside losses and metrics."""
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
    "bleu": TextMetric(_bleu, _SACREBLEU),
    "chrf": TextMetric(_chrf, _SACREBLEU),
    "wer": TextMetric(_wer, ("jiwer", "recognition"), lower_is_better=True),
}
"""By the values of `train.keep_best_by`."""


def score(name: str, outputs: Texts, references: Texts) -> float:
    """The metric of that name for outputs and their references, compared in Unicode form NFC."""
    return TEXT_METRICS[name].score([nfc(text) for text in outputs], [nfc(text) for text in references])


def cost(name: str, value: float) -> float:
    """The value of the loss or of a metric, such that lower is better: the one place that knows its direction."""
    lower_is_better = name == LOSS or TEXT_METRICS[name].lower_is_better
    return value if lower_is_better else -value
