"""Attention over packed rows: both ways equal the written-out definition on the padded batch."""

from __future__ import annotations

import pytest
import torch
from host_waits import no_host_waits
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from s2s.data.batch import TokenBatch
from s2s.nn.masks import visible
from s2s.nn.packing import Packing, PaddedAttention, RaggedAttention
from s2s.nn.positions import RelativeBias

PADDING = 2**31 - 1
HEADS, WIDTH = 3, 4
KINDS = [RaggedAttention, PaddedAttention]
Kind = type[RaggedAttention] | type[PaddedAttention]


def batch_of(seed: int, context: int, others: int) -> tuple[Tensor, Tensor]:
    """Step codes and positions of three sentences with random padding; each has one real slot at least."""
    generator = torch.Generator().manual_seed(seed)
    inner = torch.zeros(3, context, dtype=torch.int64)
    outer = torch.randint(-4, 5, (3, others), generator=generator)
    outer = torch.where(outer == 0, 1, outer)
    steps = torch.cat([inner, outer], dim=1)
    hidden = torch.rand(steps.shape, generator=generator) < 0.3
    hidden[:, 0] = False
    positions = torch.randint(0, 30, steps.shape, generator=generator)
    return steps.masked_fill(hidden, PADDING), positions


def written_out(queries: Tensor, keys_values: Tensor, mask: Tensor, bias: Tensor) -> Tensor:
    """Attention on padded `(B, L, H, D)` and `(B, L, 2, H, D)` by its definition."""
    keys, values = keys_values.unbind(2)
    scores = torch.einsum("bqhd,bkhd->bhqk", queries, keys) / WIDTH**0.5 + bias
    weights = scores.masked_fill(~mask.unsqueeze(1), -torch.inf).softmax(-1)
    return torch.einsum("bhqk,bkhd->bqhd", weights, values)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([(4, 5), (0, 6), (5, 0), (1, 3)]),
    st.booleans(),
    st.sampled_from(["all", "some", "one"]),
)
def test_packed_attention_equals_its_definition(
    kind: Kind, seed: int, columns: tuple[int, int], relative: bool, asking: str
) -> None:
    steps, positions = batch_of(seed, *columns)
    real = steps != PADDING
    generator = torch.Generator().manual_seed(seed)
    queries = torch.randn(*steps.shape, HEADS, WIDTH, generator=generator, dtype=torch.float64)
    keys_values = torch.randn(*steps.shape, 2, HEADS, WIDTH, generator=generator, dtype=torch.float64)
    relative_bias = RelativeBias(HEADS, 8, 12).double() if relative else None
    bias = torch.zeros(())
    if relative_bias is not None:
        torch.nn.init.normal_(relative_bias.weight, generator=generator)
        bias = relative_bias(positions, positions)
    packing = Packing(steps, positions, real, columns[0])
    rows = None if asking == "all" else torch.arange(len(packing.slots))[:: 2 if asking == "some" else 99]
    packed = packing.pack(queries)
    found = kind(packing, relative_bias, rows)(packed if rows is None else packed[rows], packing.pack(keys_values), 0.0)
    expected = packing.pack(written_out(queries, keys_values, visible(steps, steps), bias))
    torch.testing.assert_close(found, expected if rows is None else expected[rows])


def test_padding_and_packing_undo_each_other() -> None:
    steps, positions = batch_of(3, 4, 5)
    real = steps != PADDING
    packing = Packing(steps, positions, real, 4)
    values = torch.randn(*steps.shape, 2)
    padded = packing.pad(packing.pack(values))
    assert torch.equal(padded, values * real.unsqueeze(-1))
    assert torch.equal(packing.rows_at(packing.slots), torch.arange(int(real.sum())))
    assert packing.lengths == real.sum(1).tolist()


def test_a_batch_that_was_counted_on_the_host_is_packed_without_waiting() -> None:
    steps, positions = batch_of(3, 4, 5)
    nothing = torch.zeros(0, dtype=torch.int64)
    batch = TokenBatch([], steps, positions, steps, steps, 4, nothing, nothing, pad_id=0)
    extents = batch.counted().extents
    with no_host_waits():
        packing = Packing(steps, positions, steps != PADDING, 4, extents)
        PaddedAttention(packing, None, None)
    asked = Packing(steps, positions, steps != PADDING, 4)
    assert torch.equal(packing.slots, asked.slots)
    assert (packing.lengths, packing.context_lengths) == (asked.lengths, asked.context_lengths)
    assert packing.starts == asked.starts


def test_a_batch_is_counted_before_it_leaves_the_host() -> None:
    steps, positions = batch_of(3, 4, 5)
    nothing = torch.zeros(0, dtype=torch.int64)
    batch = TokenBatch([], steps, positions, steps, steps, 4, nothing, nothing, pad_id=0)
    assert batch.to("cpu").extents is None
    moved = batch.to("meta")
    assert moved.extents is not None
    assert moved.extents.slots.device.type == moved.tokens.device.type == "meta"
    assert moved.extents.lengths == (steps != PADDING).sum(1).tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_both_ways_equal_those_of_the_definition(kind: Kind) -> None:
    steps, positions = batch_of(1, 4, 5)
    packing = Packing(steps, positions, steps != PADDING, 4)
    inputs = [torch.randn(*steps.shape, *shape, HEADS, WIDTH, dtype=torch.float64) for shape in ((), (2,))]
    leaves = [value.requires_grad_() for value in inputs]
    mask = visible(steps, steps)

    def gradients(output: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad((output**3).sum(), leaves)

    expected = gradients(packing.pack(written_out(leaves[0], leaves[1], mask, torch.zeros(()))))
    found = gradients(kind(packing, None, None)(packing.pack(leaves[0]), packing.pack(leaves[1]), 0.0))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_asked_gives_nothing(kind: Kind) -> None:
    steps, positions = batch_of(1, 2, 3)
    packing = Packing(steps, positions, steps != PADDING, 2)
    nothing = torch.zeros(0, dtype=torch.int64)
    rows = torch.randn(len(packing.slots), 2, HEADS, WIDTH)
    assert kind(packing, None, nothing)(torch.zeros(0, HEADS, WIDTH), rows, 0.0).shape == (0, HEADS, WIDTH)
