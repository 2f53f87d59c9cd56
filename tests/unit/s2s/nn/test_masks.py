"""Step codes say who may see whom."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from s2s.nn.masks import HIDDEN, additive, visible

PADDING = 2**31 - 1
CODES = st.lists(st.integers(-6, 6), min_size=1, max_size=12)


def rule(query: int, key: int) -> bool:
    """The table of UniLMv2, case by case."""
    if key == PADDING:
        return query == PADDING
    if query >= 0:
        return 0 <= key <= query
    return 0 <= key < -query or key == query


def as_text(mask: Tensor) -> list[str]:
    return ["".join("x" if sees else "." for sees in row) for row in mask.tolist()]


@given(CODES, CODES)
def test_arithmetic_equals_the_table(queries: list[int], keys: list[int]) -> None:
    keys = [*keys, PADDING]
    expected = [[rule(query, key) for key in keys] for query in queries]
    assert visible(torch.tensor(queries), torch.tensor(keys)).tolist() == expected


@given(CODES, st.randoms(use_true_random=False))
def test_order_of_slots_does_not_matter(codes: list[int], random: object) -> None:
    order = torch.randperm(len(codes), generator=torch.Generator().manual_seed(len(codes)))
    steps = torch.tensor(codes)
    assert torch.equal(visible(steps[order], steps[order]), visible(steps, steps)[order][:, order])


@given(CODES)
def test_every_real_slot_sees_itself(codes: list[int]) -> None:
    steps = torch.tensor(codes)
    assert visible(steps, steps).diagonal().all()


def test_worked_example_of_unilmv2() -> None:
    # x1 M2 x3 M4 M5 x6 | x4 x5 x2 | P4 P5 P2, factorized {4,5} before {2} (UniLMv2, arXiv 2002.12804, figure 3).
    steps = torch.tensor([0] * 6 + [1, 1, 2] + [-1, -1, -2])
    context, first, second = "xxxxxx......", "xxxxxxxx....", "xxxxxxxxx..."
    expected = [context] * 6 + [first] * 2 + [second] + ["xxxxxx...xx."] * 2 + ["xxxxxxxx...x"]
    assert as_text(visible(steps, steps)) == expected


def test_steps_alone_are_a_causal_mask() -> None:
    steps = torch.arange(1, 8)
    assert torch.equal(visible(steps, steps), torch.ones(7, 7).tril().bool())


def test_batches_and_parts_broadcast() -> None:
    steps = torch.tensor([[0, 0, 1, -1], [0, PADDING, 1, -1]])
    whole = visible(steps, steps)
    assert torch.equal(visible(steps[:, 2:], steps), whole[:, 2:])
    assert not whole[1, [0, 2, 3], 1].any()


def test_hidden_keys_get_no_weight_in_any_type() -> None:
    mask = torch.tensor([[True, False, True]])
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        scores = torch.tensor([[-30.0, 30.0, -30.0]], dtype=dtype) + additive(mask, dtype)
        assert scores.float().softmax(-1).tolist() == [[0.5, 0.0, 0.5]]
    assert additive(mask, torch.float32).tolist() == [[0.0, HIDDEN, 0.0]]
