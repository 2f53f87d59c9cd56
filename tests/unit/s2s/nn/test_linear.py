"""Linear layers by oneDNN against torch's own."""

import pytest
import torch
from tiny_models import tiny_unilm
from torch import nn

from s2s.data.batch import Feeding, SourceBatch
from s2s.nn.linear import Linear, PackedLinear, can_pack, pack_linears

needs_packing = pytest.mark.skipif(not can_pack(torch.empty(1)), reason="torch was built without oneDNN")


@needs_packing
@pytest.mark.parametrize("shape", [(7,), (1, 1), (3, 5), (2, 40, 4)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_packed_layer_equals_the_plain_one(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    linear, x = nn.Linear(24, 56, bias=bias), torch.randn(*shape, 24)
    packed = PackedLinear(linear.weight, linear.bias)(x)
    torch.testing.assert_close(packed, linear(x).detach(), atol=1e-5, rtol=1e-5)


@needs_packing
@pytest.mark.parametrize("shape", [(7,), (1, 1), (3, 5), (2, 40, 4)])
@pytest.mark.parametrize("bias", [True, False])
def test_gradients_equal_those_of_torch(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    plain, x = nn.Linear(24, 56, bias=bias), torch.randn(*shape, 24)
    ours = Linear(24, 56, bias=bias)
    ours.load_state_dict(plain.state_dict())
    results = []
    for layer in (plain, ours):
        copy = x.clone().requires_grad_()
        output = layer(copy)
        output.square().sum().backward()
        results.append([output, copy.grad, *(parameter.grad for parameter in layer.parameters())])
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-4)


def test_frozen_weights_get_no_gradient() -> None:
    layer = Linear(3, 2)
    layer.weight.requires_grad_(False)
    layer(torch.randn(4, 3)).sum().backward()
    assert layer.weight.grad is None
    assert layer.bias.grad is not None


def test_autocast_keeps_its_own_kernels() -> None:
    layer = Linear(3, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(torch.randn(4, 3)).dtype == torch.bfloat16


@needs_packing
def test_every_linear_layer_is_packed_once_and_others_are_left() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.Sequential(nn.GELU(), nn.Linear(6, 5)), nn.Bilinear(5, 5, 2))
    pack_linears(model)
    pack_linears(model)
    assert [type(module) for module in model.modules() if not isinstance(module, nn.Sequential)] == [
        PackedLinear,
        nn.GELU,
        PackedLinear,
        nn.Bilinear,
    ]


def test_what_cannot_be_packed_stays_as_it_is() -> None:
    model = nn.Sequential(nn.Linear(4, 6, dtype=torch.float64))
    pack_linears(model)
    assert type(model[0]) is nn.Linear


@pytest.mark.parametrize("feeding", [Feeding(end=2, mask=3), Feeding(end=2, start=2)])
def test_a_prepared_model_generates_what_it_did(feeding: Feeding) -> None:
    model = tiny_unilm(hidden_size=24, num_heads=3, intermediate_size=40, embedding_size=16, initializer_range=0.02)
    tokens = torch.tensor([[1, 7, 9, 2], [1, 5, 2, 0]])
    sources = SourceBatch(["a", "b"], tokens, torch.tensor([4, 3]), feeding, [[], []])

    def logits() -> list[torch.Tensor]:
        state = model.start(sources, 3)
        first = model.step(state, None)
        state.select(None, torch.zeros(2, 4, dtype=torch.int64))
        return [first, model.step(state, torch.arange(8).reshape(2, 4))]

    before = logits()
    model.prepare()
    for ours, theirs in zip(logits(), before, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
