"""The three layouts: what is fed, what is predicted, and how examples are packed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.data.batch import PADDING
from s2s.data.layout import Layout, Noise, layout, pack, room
from s2s.data.tokenizer import SpecialIds

SPECIAL = SpecialIds(cls=2, sep=3, mask=4, pad=1)
WORDS = np.arange(5, 40)
METHODS = ["causal", "masked", "pseudo_masked"]
tokens = st.lists(st.integers(5, 39), min_size=1, max_size=12)


def noise(target=0.5, source=0.0, random=0.0, keep=0.0, max_masked=None):
    return Noise(target, source, random, keep, max_masked, WORDS)


def make(source, target, method, noise, limits=(9, 6), seed=0):
    return layout(source, target, method, SPECIAL, limits, noise, np.random.default_rng(seed))


def test_causal_predicts_the_next_token_and_has_no_source_separator():
    made = make([10, 11], [20, 21, 22], "causal", noise(target=0))
    assert made.source.tolist() == [2, 10, 11]
    assert made.target.tolist() == [3, 20, 21, 22]
    assert made.labels.tolist() == [20, 21, 22, 3]
    assert made.slots.tolist() == [0, 1, 2, 3]
    assert made.pseudo.tolist() == []


def test_causal_noise_never_touches_the_start_or_the_labels():
    made = make([10], [20, 21], "causal", noise(target=1))
    assert made.target.tolist() == [3, 4, 4]
    assert made.labels.tolist() == [20, 21, 3]


def test_masked_predicts_what_it_masks():
    made = make([10, 11], [20, 21, 22, 23, 24], "masked", noise(target=0.5))
    truth = np.array([20, 21, 22, 23, 24, 3])
    assert len(made.slots) == 3
    assert (made.target[made.slots] == SPECIAL.mask).all()
    assert (made.labels == truth[made.slots]).all()
    untouched = np.setdiff1d(np.arange(6), made.slots)
    assert (made.target[untouched] == truth[untouched]).all()


@pytest.mark.parametrize(("target", "cap", "count"), [(0.0, None, 1), (0.4, None, 2), (1.0, None, 6), (1.0, 2, 2)])
def test_masked_masks_at_least_one_and_at_most_the_cap(target, cap, count):
    assert len(make([10], [20, 21, 22, 23, 24], "masked", noise(target, max_masked=cap)).slots) == count


def test_pseudo_masked_predicts_every_token_at_a_masked_pseudo_slot():
    made = make([10, 11], [20, 21], "pseudo_masked", noise(target=0))
    assert made.source.tolist() == [2, 10, 11, 3]
    assert made.target.tolist() == [20, 21, 3]
    assert made.pseudo.tolist() == [4, 4, 4]
    assert made.labels.tolist() == [20, 21, 3]


def test_pseudo_masked_feeds_the_same_corruption_at_true_and_pseudo_slots():
    made = make([10], list(range(5, 35)), "pseudo_masked", noise(target=0.5, random=0.5, keep=0.2), limits=(9, 31))
    corrupted = made.target != made.labels
    assert 5 < corrupted.sum() < 25
    assert (made.target[corrupted] == made.pseudo[corrupted]).all()


def test_source_noise_spares_the_special_tokens():
    made = make([10, 11, 12], [20], "pseudo_masked", noise(source=1))
    assert made.source.tolist() == [2, 4, 4, 4, 3]


def test_noise_has_the_shares_that_were_asked_for():
    target = np.full(20000, 7)
    made = make([10], target, "pseudo_masked", noise(target=0.3, random=0.2, keep=0.5), limits=(9, 20001))
    masked, kept = (made.pseudo == SPECIAL.mask).mean(), (made.pseudo == made.labels).mean()
    assert masked == pytest.approx(0.3, abs=0.02)
    assert kept == pytest.approx(0.5 + 0.2 / len(WORDS), abs=0.02)
    assert (made.target != made.labels).mean() == pytest.approx(0.3 * (0.5 - 0.2 / len(WORDS)), abs=0.02)


@given(tokens, tokens, st.sampled_from(METHODS), st.integers(0, 5))
def test_replacements_are_never_special_tokens(source, target, method, seed):
    made = make(source, target, method, noise(target=1, source=1, random=1), seed=seed)
    inside = made.source[1:] if method == "causal" else made.source[1:-1]
    assert np.isin(inside, WORDS).all()
    fed = made.target[1:] if method == "causal" else made.target
    assert np.isin(fed, WORDS).all()


@given(tokens, tokens, st.sampled_from(METHODS))
def test_long_sides_lose_their_end_and_still_learn_to_stop(source, target, method):
    made = make(source, target, method, noise(target=0), limits=(6, 4))
    max_source, max_target = room(method, 6, 4)
    inside = made.source[1:] if method == "causal" else made.source[1:-1]
    assert inside.tolist() == source[:max_source]
    assert len(made.source) <= 6
    assert len(made.target) <= 4
    if method != "masked":
        assert made.labels.tolist() == [*target[:max_target], SPECIAL.sep]


def test_pack_places_targets_after_the_true_length_of_each_source():
    long = Layout(*map(np.array, ([2, 10, 11, 3], [20, 3], [4, 4], [0, 1], [20, 3])), id="a")
    short = Layout(*map(np.array, ([2, 3], [20, 21, 3], [4, 9, 4], [0, 1, 2], [20, 21, 3])), id="b")
    batch = pack([long, short], pad_id=1)
    assert batch.context == 4
    assert batch.tokens.tolist() == [[2, 10, 11, 3, 20, 3, 1, 4, 4, 1], [2, 3, 1, 1, 20, 21, 3, 4, 9, 4]]
    assert batch.positions.tolist() == [[0, 1, 2, 3, 4, 5, 0, 4, 5, 0], [0, 1, 0, 0, 2, 3, 4, 2, 3, 4]]
    p = PADDING
    assert batch.steps.tolist() == [[0, 0, 0, 0, 1, 2, p, -1, -2, p], [0, 0, p, p, 1, 2, 3, -1, -2, -3]]
    assert batch.segments.tolist() == [[0] * 4 + [1] * 6] * 2
    assert batch.slots.tolist() == [7, 8, 17, 18, 19]
    assert batch.labels.tolist() == [20, 3, 20, 21, 3]
    assert batch.ids == ["a", "b"]
    assert batch.num_tokens == 16


@given(st.lists(st.tuples(tokens, tokens), min_size=1, max_size=4), st.sampled_from(METHODS))
def test_slots_point_at_the_labels_own_example(pairs, method):
    made = [make(source, target, method, noise(target=0.5)) for source, target in pairs]
    batch = pack(made, pad_id=1)
    rows, columns = np.divmod(batch.slots.numpy(), batch.tokens.shape[1])
    steps = batch.steps.numpy()[rows, columns]
    assert (np.abs(steps) - 1).tolist() == [slot for item in made for slot in item.slots]
    assert ((steps < 0) == (method == "pseudo_masked")).all()
    assert (steps != PADDING).all()
    assert rows.tolist() == [row for row, item in enumerate(made) for _ in item.slots]
