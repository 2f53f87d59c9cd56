"""ROUGE by the rules of the py-rouge 1.1 package, which the evaluation scripts of s2s-ft print without `--perl`.

That package is unmaintained and cannot be imported where setuptools has no pkg_resources any more, so its rules are
implemented here; only its two tables of irregular words (WordNet exceptions) are read from the installed package.

Rules: lower case, only a-z and 0-9 count; sentences end at newlines; words of more than three letters are looked up in
the tables, else stemmed (Porter's original algorithm); "gonna" and the like are two words. ROUGE-L is the union, over
the hypothesis' sentences, of the words of longest common subsequences, each clipped by its count in the hypothesis.
Odd but pinned by a golden test: precision and recall of ROUGE-L are raised to 1 / 1.2, the weight meant for ROUGE-W.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from itertools import chain
from typing import Any

from s2s.data.words import ngrams
from s2s.errors import InputError
from s2s.packages import load

SIGNATURE = "py-rouge 1.1 rules, stemmed, F1, newline sentences, ROUGE-L p and r to the power 1/1.2"

_NOT_A_WORD = re.compile("[^a-z0-9]+")
_TWO_WORDS = {"gimme": "gim me", "gonna": "gon na", "gotta": "got ta", "lemme": "lem me", "wanna": "wan na"}
_WEIGHT = 1.2

Score = dict[str, float]


def py_rouge(hypothesis: str, reference: str) -> dict[str, Score]:
    """F, precision and recall (0 to 1) of two texts with one sentence a line.

    Returns:
        `{"rouge-1": {"f": ..., "p": ..., "r": ...}, "rouge-2": ..., "rouge-l": ...}`.
    """
    outputs, targets = _stemmed_sentences(hypothesis), _stemmed_sentences(reference)
    all_outputs, all_targets = list(chain(*outputs)), list(chain(*targets))
    scores = {f"rouge-{size}": _ngram_score(all_outputs, all_targets, size) for size in (1, 2)}
    hits = _union_of_common_subsequences(outputs, targets)
    precision, recall = _share(hits, len(all_outputs)), _share(hits, len(all_targets))
    return {**scores, "rouge-l": _with_f(precision ** (1 / _WEIGHT), recall ** (1 / _WEIGHT))}


def _ngram_score(outputs: list[str], targets: list[str], size: int) -> Score:
    ours, theirs = Counter(ngrams(outputs, size)), Counter(ngrams(targets, size))
    hits = (ours & theirs).total()
    return _with_f(_share(hits, ours.total()), _share(hits, theirs.total()))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _with_f(precision: float, recall: float) -> Score:
    both = precision * recall
    return {"f": both / (0.5 * precision + 0.5 * recall) if both else 0.0, "p": precision, "r": recall}


def _union_of_common_subsequences(outputs: list[list[str]], targets: list[list[str]]) -> int:
    """How many words of the reference lie on a common subsequence with some sentence of the hypothesis."""
    left = Counter(chain(*outputs))
    hits = 0
    for reference in targets:
        marked: set[int] = set()
        for sentence in outputs:
            marked |= common_subsequence(reference, sentence)
        found = Counter(reference[place] for place in marked) & left
        left -= found
        hits += found.total()
    return hits


def common_subsequence(reference: list[str], sentence: list[str]) -> set[int]:
    """Places in `reference` of one longest common subsequence; of equal ones, that with the earliest last word."""
    lengths = [[0] * (len(sentence) + 1)]
    for word in reference:
        above, row = lengths[-1], [0]
        for column, other in enumerate(sentence):
            row.append(above[column] + 1 if word == other else max(above[column + 1], row[column]))
        lengths.append(row)
    places, i, j = set(), len(reference), len(sentence)
    while i and j:
        if reference[i - 1] == sentence[j - 1]:
            i, j = i - 1, j - 1
            places.add(i)
        elif lengths[i - 1][j] >= lengths[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return places


def _stemmed_sentences(text: str) -> list[list[str]]:
    lines = [_NOT_A_WORD.sub(" ", line).split() for line in text.lower().split("\n")]
    return [[_stem(part) for word in line for part in _TWO_WORDS.get(word, word).split()] for line in lines]


@cache
def _stem(word: str) -> str:
    if len(word) <= 3:
        return word
    # The package hides "cannot" from its word splitter behind underscores, which the stemmer sees.
    word = word.replace("cannot", "_cannot_")
    stem = _irregular_words().get(word) or _porter()(word)
    return stem.replace("_cannot_", "cannot")


@cache
def _porter() -> Callable[[str], str]:
    module: Any = load("nltk.stem.porter", "eval")
    stem: Callable[[str], str] = module.PorterStemmer(module.PorterStemmer.ORIGINAL_ALGORITHM).stem
    return stem


@cache
def _irregular_words() -> dict[str, str]:
    """Irregular word to its base form, from the data files of the installed py-rouge package."""
    try:
        package = distribution("py-rouge")
    except PackageNotFoundError as error:
        raise InputError('py-rouge is not installed; it comes with pip install "unilatent[eval]"') from error
    table: dict[str, str] = {}
    for name in ("wordnet_key_value.txt", "wordnet_key_value_special_cases.txt"):
        with open(str(package.locate_file(f"rouge/{name}")), encoding="utf-8") as file:
            table.update(line.strip().split("|") for line in file)  # type: ignore[misc]
    return table
