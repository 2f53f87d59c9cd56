"""Layers with two sets of weights."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from s2s.nn.attention import attend
from s2s.nn.multiway import MultiwayBlock, Routed, Way, Ways
from s2s.nn.transformer import NormFirstBlock

SIZES = {"hidden_size": 8, "num_heads": 2, "intermediate_size": 12, "activation": "gelu", "layer_norm_eps": 1e-5}
SIZES |= {"hidden_dropout": 0.0, "attention_dropout": 0.0}


def everything(queries: Tensor, keys_values: Tensor, dropout: float) -> Tensor:
    """All rows see all rows."""
    keys, values = keys_values.permute(1, 2, 0, 3).unsqueeze(1)
    return attend(queries.transpose(0, 1)[None], keys, values)[0].transpose(0, 1)


def block(same: bool = False, closes: bool = False) -> MultiwayBlock:
    torch.manual_seed(0)
    made = MultiwayBlock(partial(Way, closes, **SIZES))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    if same:
        made.seen.load_state_dict(made.read.state_dict())
    return made


@given(st.lists(st.booleans(), min_size=1, max_size=9))
def test_each_row_goes_its_way_and_rows_keep_their_order(seen: list[bool]) -> None:
    x = torch.arange(float(len(seen))).unsqueeze(1)
    found = Ways(torch.tensor(seen)).each([lambda x: -x, lambda x: 10 * x], x)
    assert found.squeeze(1).tolist() == [-i if first else 10 * i for i, first in enumerate(seen)]


@pytest.mark.parametrize("closes", [False, True])
def test_two_equal_ways_are_one_layer(closes: bool) -> None:
    layer, x = block(same=True, closes=closes), torch.randn(5, 8)
    ways = Ways(torch.tensor([True, False, True, False, False]))
    torch.testing.assert_close(layer(x, everything, None, ways), layer(x, everything))
    rows = torch.tensor([0, 3])
    torch.testing.assert_close(layer(x, everything, rows, ways), layer(x, everything, rows))
    torch.testing.assert_close(layer.keys_values(x, ways), layer.read.keys_values(x))


def test_rows_of_both_ways_attend_to_each_other_and_have_their_own_weights() -> None:
    layer, x = block(), torch.randn(4, 8)
    ways = Ways(torch.tensor([True, True, False, False]))
    before = layer(x, everything, None, ways)
    changed = x.clone()
    changed[0, 0] += 1
    assert not torch.isclose(layer(changed, everything, None, ways)[3], before[3]).any(), "keys of what is seen"
    torch.nn.init.zeros_(layer.seen.down.linear.weight)
    after = layer(x, everything, None, ways)
    assert not torch.isclose(after[:2], before[:2]).any()
    assert torch.equal(after[2:], before[2:])


def test_a_way_without_a_row_has_gradients_of_zero() -> None:
    """So that processes which share gradients wait for no weight in vain."""
    layer, x = block(), torch.randn(3, 8, requires_grad=True)
    Routed(layer, Ways(torch.tensor([True, False, False])))(x, everything, torch.tensor([1, 2])).sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())
    assert not layer.seen.down.linear.weight.grad.any()
    assert layer.seen.attention.key_value.weight.grad.any()


def test_inner_norms_are_before_the_last_product_of_each_sublayer() -> None:
    """The outputs of both sublayers do not change with the scale of what these norms read."""
    torch.manual_seed(0)
    layer, x = NormFirstBlock(**SIZES, inner_norms=True), torch.randn(4, 8)
    before = layer(x, everything)
    with torch.no_grad():
        layer.attention.key_value.weight[8:] *= 3  # values
        layer.attention.key_value.bias[8:] *= 3
    torch.testing.assert_close(layer(x, everything), before, atol=1e-3, rtol=1e-3)
