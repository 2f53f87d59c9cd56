"""Minimum-Bayes-risk decoding against its definition, over the samples that sampling draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table_model import VOCABULARY, TableModel, sources_of

from s2s.config import parse_section
from s2s.data.text_metrics import TEXT_METRICS, likeness, score
from s2s.decoding.minimum_bayes_risk import MinimumBayesRisk
from s2s.decoding.sampling import Sampling
from s2s.errors import ConfigError

pytest.importorskip("rouge_score")
METRICS = ["rouge_1", "rouge_2", "rouge_l", "bleu", "chrf"]


def text_of(tokens: Sequence[int]) -> str:
    return " ".join(VOCABULARY[token] * 3 for token in tokens)


def decoder_of(kind: Any, **options: Any) -> Any:
    decoder = kind(
        parse_section(kind.Config, {"max_length": 7, "min_length": 0, **options}, "decoder"), VOCABULARY.index
    )
    decoder.write_with(text_of)
    return decoder


@settings(max_examples=20, deadline=None)
@given(
    metric=st.sampled_from(METRICS),
    samples=st.integers(2, 9),
    seed=st.integers(0, 20),
    cut=st.sampled_from([{}, {"top_p": 0.8}, {"typical_p": 0.7, "temperature": 1.5}]),
)
def test_it_gives_the_sample_of_the_highest_mean_score_against_all(
    metric: str, samples: int, seed: int, cut: dict[str, float]
) -> None:
    model, sources = TableModel(5, seed), sources_of([1, 2, 3])
    drawn = decoder_of(Sampling, num_hypotheses=samples, seed=seed, **cut)(model, sources)
    options = {"metric": metric, "num_samples": samples, "num_hypotheses": samples, "seed": seed, **cut}
    for found, row in zip(decoder_of(MinimumBayesRisk, **options)(model, sources), drawn, strict=True):
        texts = [text_of(one.tokens) for one in row]
        expected = {one: sum(likeness(metric, one, other) for other in texts) / samples for one in texts}
        assert {text_of(one.tokens): pytest.approx(one.score) for one in found} == expected
        assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


@pytest.mark.parametrize("metric", METRICS)
def test_two_texts_are_compared_as_evaluate_does(metric: str) -> None:
    pairs = [
        ("a fast text editor for images", "a small text editor for sounds"),
        ("reads text files", "reads a text file"),
    ]
    for output, reference in pairs:
        alone = likeness(metric, output, reference)
        assert 0 < alone < 100
        assert likeness(metric, reference, reference) == pytest.approx(100)
        if metric != "bleu":
            assert alone == score(metric, [output], [reference])
    assert likeness(metric, "", "") == 0


def test_the_sentence_bleu_is_that_of_sacrebleu() -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    for output, reference in [("a b c d e", "a b c d f"), ("a b", "a c"), ("a", "a")]:
        assert likeness("bleu", output, reference) == sacrebleu.sentence_bleu(output, [reference]).score


def test_word_errors_rank_by_the_fewest() -> None:
    pytest.importorskip("jiwer")
    assert TEXT_METRICS["wer"].lower_is_better
    assert likeness("wer", "a b c", "a b c") == 0 > likeness("wer", "a b d", "a b c")
    rows = decoder_of(MinimumBayesRisk, metric="wer", num_samples=6)(TableModel(5), sources_of([1, 2]))
    assert all(one.score <= 0 for (one,) in rows)


def test_a_metric_whose_package_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rouge_score", None)
    with pytest.raises(ConfigError, match=r"decoder\.metric: .*rouge_score"):
        decoder_of(MinimumBayesRisk, metric="rouge_l")
    with pytest.raises(ConfigError, match=r"decoder\.metric: must be"):
        decoder_of(MinimumBayesRisk, metric="meteor")
