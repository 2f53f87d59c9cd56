"""ROUGE-1, -2, -L and -Lsum with the rouge-score package, and by the rules of py-rouge.

ROUGE-L takes a text as one sequence; ROUGE-Lsum takes the union over its sentences, which is what the Perl script calls
ROUGE-L and what CNN/DailyMail results report.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from eval.extras import load, version_of
from eval.metric import Metric, mean
from eval.py_rouge import SIGNATURE, py_rouge_of_pair
from eval.words import words

# The Treebank's names of brackets and quotes, which published scores do not count.
_TREEBANK_MARKS = re.compile(r"-(?:[lr][rsc]b)-|``|''", re.IGNORECASE)
_TITLES = {"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L", "rougeLsum": "ROUGE-Lsum"}


class _Words:
    """Words of any script, in the form that the package wants a tokenizer."""

    def tokenize(self, text: str) -> list[str]:
        return words(text)


def rouge(hypotheses: Sequence[str], references: Sequence[str], *, english_stems: bool) -> list[Metric]:
    """Mean F1 of ROUGE-1, -2, -L, and of -Lsum if any reference has more than one sentence.

    Args:
        hypotheses: Texts, one sentence a line; an empty one scores 0.
        references: As many texts.
        english_stems: Whether words are Porter's stems of a-z and 0-9, as in all published results of XSum,
            CNN/DailyMail and Gigaword; else whole words of any script (on ASCII text those of the package).
    """
    said, meant = ([_TREEBANK_MARKS.sub(" ", text) for text in texts] for texts in (hypotheses, references))
    kinds = [kind for kind in _TITLES if kind != "rougeLsum" or any("\n" in text for text in meant)]
    package = load("rouge_score.rouge_scorer")
    tokenizer = load("rouge_score.tokenizers").DefaultTokenizer(use_stemmer=True) if english_stems else _Words()
    scorer = package.RougeScorer(kinds, tokenizer=tokenizer)
    scores = [scorer.score(target, prediction) for target, prediction in zip(meant, said, strict=True)]
    form = "Porter stems of a-z 0-9" if english_stems else "words of any script, not stemmed"
    signature = f"rouge-score {version_of('rouge-score')}, F1, {form}"
    return [mean(_TITLES[kind], [score[kind].fmeasure for score in scores], signature) for kind in kinds]


def py_rouge_metrics(hypotheses: Sequence[str], references: Sequence[str]) -> list[Metric]:
    """Mean F of ROUGE-1, -2 and -L by the rules of py-rouge; only newlines divide sentences."""
    scores = [py_rouge_of_pair(*pair) for pair in zip(hypotheses, references, strict=True)]
    return [
        mean(name.upper(), [score[name]["f"] for score in scores], SIGNATURE)
        for name in ("rouge-1", "rouge-2", "rouge-l")
    ]
