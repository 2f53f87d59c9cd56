"""Relative positions fall into buckets; the bias is looked up there."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from s2s.nn.positions import RelativeBias, relative_bucket

# First distances of the buckets behind the query, as the released s2s-ft has them (s2s_ft/modeling.py).
FIRST_DISTANCES = {(32, 128): [*range(8), 8, 12, 16, 23, 32, 46, 64, 91], (16, 40): [0, 1, 2, 3, 4, 8, 13, 23]}


@pytest.mark.parametrize(("buckets", "max_distance"), FIRST_DISTANCES)
def test_buckets_begin_where_the_reference_has_them(buckets: int, max_distance: int) -> None:
    distances = torch.arange(3 * max_distance)
    starts = torch.tensor(FIRST_DISTANCES[buckets, max_distance])
    expected = torch.searchsorted(starts, distances, right=True) - 1
    assert torch.equal(relative_bucket(-distances, buckets, max_distance), expected)
    ahead = relative_bucket(distances[1:], buckets, max_distance)
    assert torch.equal(ahead, expected[1:] + buckets // 2)


@given(st.sampled_from([8, 12, 20, 32, 64]), st.integers(20, 300), st.integers(-2000, 2000))
def test_buckets_are_in_range_and_grow_with_distance(buckets: int, max_distance: int, relative: int) -> None:
    here, further = relative_bucket(
        torch.tensor([relative, relative + (1 if relative > 0 else -1)]), buckets, max_distance
    )
    assert 0 <= here <= further < buckets
    assert (here >= buckets // 2) == (relative > 0)


def test_bias_is_read_from_its_bucket() -> None:
    generator = torch.Generator().manual_seed(0)
    bias = RelativeBias(num_heads=3, num_buckets=8, max_distance=10)
    with torch.no_grad():
        bias.weight.normal_(generator=generator)
    queries, keys = torch.tensor([[0, 7], [40, 3]]), torch.tensor([[0, 3, 50], [1, 1, 2]])
    values = bias(queries, keys)
    assert values.shape == (2, 3, 2, 3)
    for sentence, head, query, key in [(0, 0, 0, 0), (0, 2, 1, 2), (1, 1, 0, 1), (1, 2, 1, 2)]:
        relative = keys[sentence, key] - queries[sentence, query]
        assert values[sentence, head, query, key] == bias.weight[head, relative_bucket(relative, 8, 10)]


def test_heads_can_begin_at_their_neighbors() -> None:
    bias = RelativeBias(num_heads=5, num_buckets=32, max_distance=128)
    bias.prefer_neighbors_(4.0)
    positions = torch.arange(20)
    preferred = bias(positions[10:11], positions)[:, 0]  # (H, 20)
    assert preferred.argmax(-1).tolist() == [9, 11, 8, 12, 7]
    assert (preferred.amax(-1) == 4).all()
    assert (preferred.sum(-1) == 4).all()
