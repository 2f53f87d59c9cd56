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


def rouge(
    hypotheses: Sequence[str], references: Sequence[str], *, stem: bool = True, any_script: bool = False
) -> list[Metric]:
    """Mean F1 of ROUGE-1, -2, -L, and of -Lsum if any reference has more than one sentence.

    Args:
        hypotheses: Texts, one sentence a line; an empty one scores 0.
        references: As many texts.
        stem: Whether English words of more than three letters are stemmed (Porter), as in all published results.
        any_script: Whether letters of any script make words; else only a-z and 0-9, as in all published results.
    """
    said, meant = ([_TREEBANK_MARKS.sub(" ", text) for text in texts] for texts in (hypotheses, references))
    kinds = [kind for kind in _TITLES if kind != "rougeLsum" or any("\n" in text for text in meant)]
    tokenizer = _Words(stem) if any_script else load("rouge_score.tokenizers").DefaultTokenizer(use_stemmer=stem)
    scorer = load("rouge_score.rouge_scorer").RougeScorer(kinds, tokenizer=tokenizer)
    scores = [scorer.score(target, prediction) for target, prediction in zip(meant, said, strict=True)]
    form = f"{'Porter stems' if stem else 'no stems'}, {'letters of any script' if any_script else 'a-z 0-9'}"
    signature = f"rouge-score {version_of('rouge-score')}, F1, {form}"
    return [mean(_TITLES[kind], [score[kind].fmeasure for score in scores], signature) for kind in kinds]


class _Words:
    """Words of any script, the English ones stemmed, in the form that the package wants a tokenizer."""

    def __init__(self, stem: bool) -> None:
        self._stem = load("nltk.stem.porter").PorterStemmer().stem if stem else None

    def tokenize(self, text: str) -> list[str]:
        found = words(text)
        if self._stem is None:
            return found
        return [self._stem(word) if len(word) > 3 and word.isascii() else word for word in found]


def py_rouge_metrics(hypotheses: Sequence[str], references: Sequence[str]) -> list[Metric]:
    """Mean F of ROUGE-1, -2 and -L by the rules of py-rouge; only newlines divide sentences."""
    scores = [py_rouge_of_pair(*pair) for pair in zip(hypotheses, references, strict=True)]
    return [
        mean(name.upper(), [score[name]["f"] for score in scores], SIGNATURE)
        for name in ("rouge-1", "rouge-2", "rouge-l")
    ]
