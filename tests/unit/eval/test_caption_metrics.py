"""Metrics of captions."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from eval import captions
from eval.evaluation import BENCHMARKS, Settings, evaluate
from s2s.errors import InputError

SETTINGS = Settings("captions", BENCHMARKS["captions"], resamples=10)


def write(path: Path, records: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def by_name(found: list[Any]) -> dict[str, float]:
    return {metric.name: metric.value() for metric in found}


def test_a_picture_is_scored_once_against_all_its_references_in_its_language(tmp_path: Path) -> None:
    told = [("a", "en", "a red cat"), ("a", "en", "one cat sits"), ("a", "de", "eine rote Katze"), ("b", "en", "a dog")]
    records = [
        {"id": str(number), "image": f"{image}.png", "language": language, "tgt": text}
        for number, (image, language, text) in enumerate(told)
    ]
    reference = write(tmp_path / "ref.jsonl", records)
    said = ["one cat sits", "one cat sits", "eine rote Katze", "a dog"]
    hypotheses = write(tmp_path / "hyp.jsonl", [{"id": str(n), "tgt": text} for n, text in enumerate(said)])
    report = evaluate({"ours": hypotheses}, reference, SETTINGS)
    found: Any = report.systems[0].quality
    assert found["BLEU-1"].value == pytest.approx(100)
    assert found["ROUGE-L"].value == pytest.approx(100)


def test_words_are_compared_without_case_and_punctuation() -> None:
    found = by_name(captions.metrics(["A Red cat!", "a dog"], [["a red cat"], ["A dog."]]))
    assert found["BLEU-1"] == pytest.approx(100)
    assert found["ROUGE-L"] == pytest.approx(100)
    assert "BLEU-4" not in found, "no reference has 4 words"


def test_cider_is_that_of_coco_caption() -> None:
    pytest.importorskip("pycocoevalcap.cider.cider_scorer")
    same = ["a red cat sits here", "two dogs run over there"]
    assert captions.cider(same, [[text] for text in same]).value() == pytest.approx(1000)
    other = captions.cider(["a red cat", "two dogs"], [["a blue cat"], ["two dogs"]])
    per_order = [2 / 3, 0, 0, 0]  # of "a red cat" and "a blue cat": two of three words, which no other picture has
    first = 10 * sum(per_order) / 4
    assert other.rows[0][0] == pytest.approx(first)
    assert other.rows[1][0] == pytest.approx(10 * 2 / 4), "no text has 3 words"


def test_cider_of_one_picture_and_without_its_package_is_left_out_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(module: str, extra: str) -> Any:
        raise InputError(f'{module} is not installed; it comes with pip install "unilatent[{extra}]"')

    monkeypatch.setattr(captions, "load", missing)
    first = captions.metrics(["a cat"], [["a cat"]])[0]
    assert math.isnan(first.value())
    assert "unilatent[captions]" in first.note
