"""The search through block maxima against torch.topk."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s.decoding.top import top_tokens


@settings(max_examples=40, deadline=None)
@given(size=st.integers(3, 6000), count=st.integers(1, 9), shape=st.tuples(st.integers(1, 3), st.integers(1, 4)))
def test_top_tokens_equal_topk(size: int, count: int, shape: tuple[int, int]) -> None:
    scores = torch.randperm(shape[0] * shape[1] * size, generator=torch.Generator().manual_seed(size)).float()
    scores = scores.reshape(*shape, size)
    values, ids = top_tokens(scores, count)
    expected = scores.topk(min(count, size), -1)
    assert torch.equal(values, expected.values)
    assert torch.equal(ids, expected.indices)


def test_forbidden_tokens_may_fill_whole_blocks() -> None:
    scores = torch.full((1, 1, 5000), -torch.inf)
    scores[0, 0, [7, 4999]] = torch.tensor([1.0, 2.0])
    values, ids = top_tokens(scores, 3)
    assert ids[0, 0, :2].tolist() == [4999, 7]
    assert values[0, 0, 2] == -torch.inf
