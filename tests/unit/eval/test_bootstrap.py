"""Intervals and comparisons know a metric only by its rows, so means stand for all of them here."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.bleu import bleu_and_chrf
from eval.bootstrap import compare, interval
from eval.metric import mean, ratio

values = st.lists(st.floats(0, 1), min_size=2, max_size=40)


@settings(max_examples=40, deadline=None)
@given(scores=values)
def test_interval_holds_the_value(scores: list[float]) -> None:
    found = interval(mean("m", scores, ""), 300, seed=1)
    assert found.low - 1e-9 <= found.value <= found.high + 1e-9
    assert 100 * min(scores) - 1e-9 <= found.low
    assert found.high <= 100 * max(scores) + 1e-9


@settings(max_examples=40, deadline=None)
@given(scores=values)
def test_a_system_does_not_differ_from_itself(scores: list[float]) -> None:
    same = compare(mean("m", scores, ""), mean("m", list(scores), ""), 200, seed=2)
    assert (same.value, same.low, same.high, same.p_value) == (0, 0, 0, 1)


@settings(max_examples=20, deadline=None)
@given(scores=values, others=values)
def test_the_other_way_round_the_difference_has_the_other_sign(scores: list[float], others: list[float]) -> None:
    size = min(len(scores), len(others))
    ours, theirs = mean("m", scores[:size], ""), mean("m", others[:size], "")
    there, back = compare(ours, theirs, 200, seed=3), compare(theirs, ours, 200, seed=3)
    assert there.value == pytest.approx(-back.value)
    assert (there.low, there.high) == (pytest.approx(-back.high), pytest.approx(-back.low))
    assert there.p_value == back.p_value


def test_interval_has_the_width_of_the_normal_one() -> None:
    scores = np.random.default_rng(0).random(400)
    found = interval(mean("m", list(scores), ""), 1000, seed=0)
    half = 1.96 * 100 * scores.std() / 20
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.1)


def test_p_value_is_small_for_a_clear_difference_and_large_for_noise() -> None:
    draw = np.random.default_rng(4)
    base = draw.random(200)
    noise = mean("m", list(base + draw.normal(0, 0.1, 200)), "")
    better = mean("m", list(base + 0.2 + draw.normal(0, 0.1, 200)), "")
    theirs = mean("m", list(base), "")
    assert compare(better, theirs, 999, seed=0).p_value == 0.001
    assert compare(noise, theirs, 999, seed=0).p_value > 0.05
    assert compare(better, theirs, 999, seed=0).low > 15


def test_p_values_are_even_where_there_is_no_difference() -> None:
    draw = np.random.default_rng(5)
    p_values = [
        compare(mean("m", list(draw.random(30)), ""), mean("m", list(draw.random(30)), ""), 99, seed=n).p_value
        for n in range(200)
    ]
    assert 0.05 < np.mean(np.array(p_values) <= 0.1) < 0.17


def test_equal_seeds_give_equal_intervals_and_other_seeds_others() -> None:
    metric = mean("m", [0.1, 0.5, 0.9, 0.3, 0.7], "")
    assert interval(metric, 100, seed=7) == interval(metric, 100, seed=7)
    assert interval(metric, 101, seed=7) != interval(metric, 101, seed=8)


def test_corpus_metrics_are_recomputed_on_each_resample() -> None:
    said = ["the cat sat on the mat today", "a dog ran off to the big park"]
    bleu = bleu_and_chrf(said, [said[0], "nothing of the sort is in this one"])[0]
    found = interval(bleu, 200, seed=0)
    assert found.low < found.value < found.high == pytest.approx(100)  # the resample of the first sentence twice


def test_a_ratio_of_nothing_is_not_defined_and_says_why() -> None:
    nothing, something = (ratio("r", [0, 0], wholes, "", note="no words") for wholes in ([0, 0], [0, 1]))
    assert np.isnan(nothing.value())
    assert nothing.note == "no words"
    assert interval(nothing, 10, 0) is None
    assert compare(nothing, something, 10, 0) is None
    found = interval(something, 100, 0)  # a resample of the first example alone has no value
    assert found is not None
    assert (found.low, found.high) == (0, 0)
    assert something.note == ""
