"""ROUGE-1, -2, -L and -Lsum with the rouge-score package, and by the rules of py-rouge.

ROUGE-L takes a text as one sequence; ROUGE-Lsum takes the union over its sentences, which is what the Perl script calls
ROUGE-L and what CNN/DailyMail results report.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from eval.metric import Metric, left_out, mean, ratio
from eval.py_rouge import SIGNATURE, py_rouge
from s2s.data.words import WORDS, WordTokenizer
from s2s.packages import load, version_of

# Brackets and quotes of the Treebank, which published scores do not count.
_TREEBANK_MARKS = re.compile(r"-(?:[lr][rsc]b)-|``|''", re.IGNORECASE)
_TITLES = {"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L", "rougeLsum": "ROUGE-Lsum"}


def rouge(
    hypotheses: Sequence[str], references: Sequence[str], *, stem: bool = True, any_script: bool = False
) -> list[Metric]:
    """Mean F1 of ROUGE-1, -2, -L, and of -Lsum if any reference has more than one sentence.

    Args:
        hypotheses: Texts, one sentence a line; an empty one scores 0.
        references: As many texts.
        stem: Stem English words of more than three letters (Porter), as published results do.
        any_script: Take the words of `s2s.data.words`, and do not count references without an n-gram of the metric;
            else words are a-z and 0-9 and all references count, as in published results.
    """
    outputs, targets = ([_TREEBANK_MARKS.sub(" ", text) for text in texts] for texts in (hypotheses, references))
    kinds = [kind for kind in _TITLES if kind != "rougeLsum" or any("\n" in text for text in targets)]
    default = load("rouge_score.tokenizers", "eval").DefaultTokenizer
    tokenizer = WordTokenizer(stem) if any_script else default(use_stemmer=stem)
    scorer = load("rouge_score.rouge_scorer", "eval").RougeScorer(kinds, tokenizer=tokenizer)
    scores = [scorer.score(target, output) for target, output in zip(targets, outputs, strict=True)]
    form = f"{'Porter stems' if stem else 'no stems'}, {f'{WORDS}, NFC' if any_script else 'a-z 0-9'}"
    signature = f"rouge-score {version_of('rouge-score')}, F1, {form}"
    lengths = [len(tokenizer.tokenize(target)) for target in targets]
    values = {_TITLES[kind]: [score[kind].fmeasure for score in scores] for kind in kinds}
    if any_script:
        return [_mean_of_long_enough(name, values[name], lengths, signature) for name in values]
    return _published(values, targets, lengths, signature)


def py_rouge_metrics(hypotheses: Sequence[str], references: Sequence[str]) -> list[Metric]:
    """Mean F of ROUGE-1, -2 and -L by the rules of py-rouge; only newlines divide sentences."""
    scores = [py_rouge(*pair) for pair in zip(hypotheses, references, strict=True)]
    values = {name.upper(): [score[name]["f"] for score in scores] for name in ("rouge-1", "rouge-2", "rouge-l")}
    return _published(values, references, [len(text.split()) for text in references], SIGNATURE)


def _mean_of_long_enough(name: str, values: list[float], lengths: list[int], signature: str) -> Metric:
    least = _least_words(name)
    counted = [float(length >= least) for length in lengths]
    short = counted.count(0.0)
    note = f"{short} of {len(counted)} references have fewer than {least} words and are not counted" if short else ""
    return replace(ratio(name, np.multiply(values, counted), counted, signature), note=note)


def _published(
    values: dict[str, list[float]], references: Sequence[str], lengths: list[int], signature: str
) -> list[Metric]:
    """Means over all references; left out where most letters are not a-z."""
    letters = [letter for text in references for letter in text.lower() if letter.isalnum()]
    if 2 * sum(letter.isascii() for letter in letters) <= len(letters):
        reason = "it reads only a-z and 0-9, and most letters of the references are others; try --task generic"
        return [left_out(name, len(references), reason) for name in values]
    return [
        mean(name, of_pairs, signature)
        if max(lengths) >= _least_words(name)
        else left_out(name, len(references), "no reference has two words")
        for name, of_pairs in values.items()
    ]


def _least_words(name: str) -> int:
    return 2 if name == "ROUGE-2" else 1
