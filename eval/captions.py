"""CIDEr, BLEU and ROUGE-L of captions, as coco-caption defines them, with several references for a picture.

coco-caption divides texts by a Java program; here words are those of `s2s.data.words`, of any script, so numbers
compare between your own systems only. CIDEr is that of the package pycocoevalcap, whose Java parts are not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eval.metric import Metric, left_out, mean
from eval.question_generation import bleu, rouge_l
from s2s.data.fields import SOURCE, Fields
from s2s.data.records import open_records
from s2s.data.words import WORDS, words
from s2s.errors import InputError
from s2s.packages import load, version_of

_PACKAGE, _EXTRA = "pycocoevalcap", "captions"
_PICTURE = ("image", "{image} {language}")
"""What records share that are references of one picture."""


def fields_of_captions(reference: str, fields: Fields) -> Fields:
    """Fields whose source is the picture and, where the first record has one, its language; others as the user says."""
    if fields.source != SOURCE:
        return fields
    first = next(iter(open_records(reference, "test")))[1]
    return Fields(target=fields.target, template=_PICTURE[1]) if "language" in first else Fields("image", fields.target)


def metrics(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> list[Metric]:
    """The metrics of a caption for each picture, and all its references; one whose package is missing is left out."""
    hypotheses = [" ".join(words(text)) for text in outputs]
    targets = [[" ".join(words(text)) for text in group] for group in references]
    try:
        scored = cider(hypotheses, targets)
    except InputError as error:
        scored = left_out("CIDEr", len(hypotheses), str(error))
    longest = max(len(text.split()) for group in targets for text in group)
    orders = [bleu(hypotheses, targets, order) for order in (1, 4) if longest >= order]
    return [scored, *orders, rouge_l(hypotheses, targets)]


def cider(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Metric:
    """Mean CIDEr-D times 100; the frequency of n-grams is counted in all references of the test set.

    Source: Vedantam et al. (arXiv 1411.5726), equations 1 to 3, with clipping and a Gaussian penalty of lengths.
    """
    scorer: Any = load(f"{_PACKAGE}.cider.cider_scorer", _EXTRA).CiderScorer(n=4, sigma=6.0)
    if len(hypotheses) < 2:
        raise InputError("CIDEr needs two pictures or more, since it counts how many share a word")
    for hypothesis, group in zip(hypotheses, references, strict=True):
        scorer += (hypothesis, list(group))
    _, values = scorer.compute_score()
    signature = f"CIDEr-D of {_PACKAGE} {version_of(_PACKAGE)}, n-grams of 1 to 4 {WORDS}"
    return mean("CIDEr", [float(value) for value in values], signature)
