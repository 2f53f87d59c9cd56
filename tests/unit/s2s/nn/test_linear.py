"""Linear layers by oneDNN against torch's own."""

import pytest
import torch
from torch import nn

from s2s.nn.linear import Linear
from s2s.nn.packed import can_pack

needs_packing = pytest.mark.skipif(not can_pack(torch.empty(1)), reason="torch was built without oneDNN")


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
