"""Algorithm 1 of UniLMv2 and its statistics, corruption, and masked text as a batch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.data.batch import PADDING
from s2s.data.masking import Blocks, MaskedText, corrupt, pack_masked
from s2s.data.mixture import pack_mixture
from s2s.nn.masks import visible

PAPER = Blocks(ratio=0.15, block_prob=0.4, shortest=2, longest=6)


def spans(positions: np.ndarray, steps: np.ndarray) -> list[list[int]]:
    return [positions[steps == step].tolist() for step in range(1, int(steps.max(initial=0)) + 1)]


@given(
    st.lists(st.booleans(), min_size=1, max_size=40),
    st.floats(0.01, 0.95),
    st.floats(0, 0.9),
    st.integers(1, 3),
    st.integers(0, 5),
    st.integers(0, 99),
)
def test_steps_are_disjoint_whole_spans_that_spare_fixed_positions(
    fixed: list[bool], ratio: float, prob: float, shortest: int, more: int, seed: int
) -> None:
    blocks = Blocks(ratio, prob, shortest, shortest + more)
    positions, steps = blocks.draw(np.array(fixed), np.random.default_rng(seed))
    assert len(set(positions.tolist())) == len(positions)
    assert not any(fixed[position] for position in positions)
    for span in spans(positions, steps):
        assert span == list(range(span[0], span[0] + len(span)))
        assert len(span) == 1 or shortest <= len(span) <= shortest + more
    free = fixed.count(False)
    goal = ratio * free
    assert len(positions) >= goal
    assert len(positions) <= blocks.most(np.array([free]))[0]
    if free:
        assert len(positions) - len(spans(positions, steps)[-1]) < goal  # drawing ended as soon as it could


def test_statistics_are_those_of_the_paper() -> None:
    fixed = np.zeros(512, bool)
    fixed[[0, 255, 511]] = True
    masked, in_blocks, steps = [], [], []
    for seed in range(400):
        positions, codes = PAPER.draw(fixed, np.random.default_rng(seed))
        sizes = np.bincount(codes)[1:]
        masked.append(len(positions) / 509)
        in_blocks.append(sizes[sizes > 1].sum() / sizes.sum())
        steps.append(len(sizes))
    assert np.mean(masked) == pytest.approx(0.152, abs=0.003)
    assert np.mean(in_blocks) == pytest.approx(0.70, abs=0.03)
    assert np.mean(steps) == pytest.approx(37, abs=1.5)


def test_every_position_is_as_likely_and_the_order_of_steps_is_uniform() -> None:
    counts, first = np.zeros(64), []
    for seed in range(1500):
        positions, _ = PAPER.draw(np.zeros(64, bool), np.random.default_rng(seed))
        counts[positions] += 1
        first.append(positions[0])
    inner = counts[8:-8]
    assert inner.min() > 0.7 * inner.mean()
    assert inner.max() < 1.3 * inner.mean()
    assert np.mean(first) == pytest.approx(31, abs=2.5)


def test_without_blocks_every_step_is_one_token() -> None:
    positions, steps = Blocks(0.15, 0.0, 2, 6).draw(np.zeros(100, bool), np.random.default_rng(0))
    assert len(positions) == 15
    assert sorted(steps) == list(range(1, 16))


def test_nothing_is_masked_where_everything_is_fixed() -> None:
    positions, steps = PAPER.draw(np.ones(7, bool), np.random.default_rng(0))
    assert len(positions) == len(steps) == 0


def test_corruption_is_80_10_10() -> None:
    ids = np.full(40_000, 7)
    made = corrupt(ids, 4, 0.1, 0.1, np.arange(10, 20), np.random.default_rng(0))
    assert (made == 4).mean() == pytest.approx(0.8, abs=0.01)
    assert (made == 7).mean() == pytest.approx(0.1, abs=0.01)
    assert np.isin(made, np.arange(10, 20)).mean() == pytest.approx(0.1, abs=0.01)


def example(length: int, masked: list[int], steps: list[int], split: int, id: str = "") -> MaskedText:
    truth = 10 + np.arange(length)
    tokens = truth.copy()
    tokens[masked] = 4
    segments = (np.arange(length) >= split).astype(np.int64)
    return MaskedText(tokens, segments, np.array(masked), np.array(steps), truth[masked], id)


EXAMPLES = [example(6, [3, 4, 1], [1, 1, 2], 4, "a"), example(3, [1], [1], 2, "b")]


def test_the_worked_example_of_the_paper_is_laid_out_as_in_its_figure() -> None:
    batch = pack_masked(EXAMPLES[:1], pseudo=5, pad_id=0)
    assert batch.steps.tolist() == [[0, 0, 0, 0, 0, 0, 1, 1, 2, -1, -1, -2]]
    assert batch.positions.tolist() == [[0, 1, 2, 3, 4, 5, 3, 4, 1, 3, 4, 1]]
    assert batch.segments.tolist() == [[0, 0, 0, 0, 1, 1, 0, 1, 0, 0, 1, 0]]
    assert batch.tokens.tolist() == [[10, 4, 12, 4, 4, 15, 13, 14, 11, 5, 5, 5]]
    assert batch.slots.tolist() == [3, 4, 1, 9, 10, 11]
    assert batch.labels.tolist() == [13, 14, 11, 13, 14, 11]
    assert batch.context == 6


def test_labels_stand_at_context_and_pseudo_slots_of_their_positions() -> None:
    batch = pack_masked(EXAMPLES, pseudo=5, pad_id=0)
    steps, positions = batch.steps.flatten()[batch.slots], batch.positions.flatten()[batch.slots]
    assert (10 + positions).tolist() == batch.labels.tolist()
    assert set(steps.tolist()) == {0, -1, -2}
    assert batch.num_tokens == 12 + 5
    assert (batch.tokens[batch.steps == PADDING] == 0).all()


@pytest.mark.parametrize(("autoencoding", "autoregressive", "labels", "width"), [(1, 0, 4, 6), (0, 1, 4, 12)])
def test_either_loss_can_be_left_out(autoencoding: int, autoregressive: int, labels: int, width: int) -> None:
    batch = pack_masked(EXAMPLES, 5, 0, bool(autoencoding), bool(autoregressive))
    assert (len(batch.labels), batch.tokens.shape[1]) == (labels, width)
    assert ((batch.steps.flatten()[batch.slots] == 0) == bool(autoencoding)).all()


MIXTURE = {
    "bidirectional": ([[0] * 6, [0] * 3], lambda q, k: True),
    "left_to_right": ([[1, 2, 3, 4, 5, 6], [1, 2, 3]], lambda q, k: k <= q),
    "right_to_left": ([[6, 5, 4, 3, 2, 1], [3, 2, 1]], lambda q, k: k >= q),
    "seq2seq": ([[0, 0, 0, 0, 1, 2], [0, 0, 1]], None),
}


@pytest.mark.parametrize("objective", MIXTURE)
def test_the_mixture_of_unilm_v1_sees_what_each_objective_lets_it(objective: str) -> None:
    batch = pack_mixture(EXAMPLES, objective, pad_id=0)
    for row, (made, length, split) in enumerate(zip(EXAMPLES, (6, 3), (4, 2), strict=True)):
        real = batch.steps[row] != PADDING
        order = batch.positions[row][real].argsort()
        codes = batch.steps[row][real][order]
        assert codes.tolist() == MIXTURE[objective][0][row]
        sees = visible(codes, codes)
        rule = MIXTURE[objective][1] or (lambda q, k, split=split: k < split or (q >= split and k <= q))
        assert sees.tolist() == [[rule(q, k) for k in range(length)] for q in range(length)]
        assert batch.tokens[row][real][order].tolist() == made.tokens.tolist()
    assert (batch.steps[:, : batch.context][batch.steps[:, : batch.context] != PADDING] == 0).all()
    assert (10 + batch.positions.flatten()[batch.slots]).tolist() == batch.labels.tolist()


def test_each_objective_of_the_mixture_has_its_rows_of_the_segment_table() -> None:
    rows = {}
    for objective in MIXTURE:
        batch = pack_mixture(EXAMPLES, objective, pad_id=0)
        rows[objective] = set(batch.segments[batch.steps != PADDING].tolist())
    assert rows == {"bidirectional": {0, 1}, "left_to_right": {2}, "right_to_left": {3}, "seq2seq": {4, 5}}
