"""Packed linear layers for generation, in each precision."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import tiny_unilm
from torch import nn

from s2s.data.batch import Feeding, SourceBatch
from s2s.errors import ConfigError
from s2s.nn import packed
from s2s.nn.attention import SelfAttention
from s2s.nn.packed import (
    BFloat16Linear,
    Int8Linear,
    PackedLinear,
    PackedSelfAttention,
    Precision,
    can_pack,
    check_precision,
    input_levels,
    pack_linears,
)

needs_packing = pytest.mark.skipif(not can_pack(torch.empty(1)), reason="torch was built without oneDNN")
needs_int8 = pytest.mark.skipif(not input_levels(), reason="no products of bytes here")


@needs_packing
@pytest.mark.parametrize("shape", [(7,), (1, 1), (3, 5), (2, 40, 4)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_packed_layer_equals_the_plain_one(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    linear, x = nn.Linear(24, 56, bias=bias), torch.randn(*shape, 24)
    packed = PackedLinear(linear.weight, linear.bias)(x)
    torch.testing.assert_close(packed, linear(x).detach(), atol=1e-5, rtol=1e-5)


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
@pytest.mark.parametrize(
    ("precision", "tolerance"),
    [("float32", 1e-5), ("bfloat16", 0.01), pytest.param("int8", 0.01, marks=needs_int8)],
)
def test_a_prepared_model_generates_what_it_did(feeding: Feeding, precision: Precision, tolerance: float) -> None:
    model = tiny_unilm(hidden_size=24, num_heads=3, intermediate_size=40, embedding_size=16, initializer_range=0.02)
    tokens = torch.tensor([[1, 7, 9, 2], [1, 5, 2, 0]])
    sources = SourceBatch(["a", "b"], tokens, torch.tensor([4, 3]), feeding, [[], []])

    def logits() -> list[torch.Tensor]:
        state = model.start(sources, 3)
        first = model.step(state, None)
        state.select(None, torch.zeros(2, 4, dtype=torch.int64))
        return [first, model.step(state, torch.arange(8).reshape(2, 4))]

    before = logits()
    model.prepare(precision)
    for ours, theirs in zip(logits(), before, strict=True):
        torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=1e-5)


@needs_int8
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_in_8_bits_is_a_product_of_integers_with_a_scale_for_each_row(bias: bool) -> None:
    torch.manual_seed(0)
    linear, x = nn.Linear(40, 24, bias=bias).requires_grad_(False), torch.randn(3, 5, 40)
    levels = input_levels()
    rows, columns = x.abs().amax(-1, keepdim=True) / levels, linear.weight.abs().amax(1, keepdim=True) / 127
    integers = (x / rows).round().double() @ (linear.weight / columns).round().double().T
    expected = integers * rows * columns.T + (linear.bias if bias else 0)
    found = Int8Linear(linear.weight, linear.bias)(x)
    torch.testing.assert_close(found, expected.float(), atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(found, linear(x), atol=0.02, rtol=0)


@needs_int8
@given(rows=st.integers(1, 40), width=st.integers(1, 70), size=st.integers(1, 50), seed=st.integers(0, 99))
def test_a_row_in_8_bits_does_not_depend_on_the_rows_beside_it(rows: int, width: int, size: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, width, generator=generator) * 10 ** torch.randn(rows, 1, generator=generator)
    layer = Int8Linear(torch.randn(size, width, generator=generator), torch.randn(size, generator=generator))
    together = layer(x)
    assert together.isfinite().all()
    assert torch.equal(together, torch.cat([layer(row.unsqueeze(0)) for row in x]))


@needs_int8
def test_zeros_and_the_largest_numbers_stay_exact_in_8_bits() -> None:
    layer = Int8Linear(torch.ones(8, 512), torch.zeros(8))
    found = layer(torch.tensor([0.0, 1.0, -1.0]).unsqueeze(1).expand(3, 512))
    torch.testing.assert_close(found, torch.tensor([0.0, 512.0, -512.0]).unsqueeze(1).expand(3, 8), atol=0, rtol=1e-6)
    assert not Int8Linear(torch.zeros(8, 4), None)(torch.ones(2, 4)).any()


@needs_packing
def test_a_layer_in_bfloat16_gives_float32_near_the_plain_one() -> None:
    torch.manual_seed(0)
    linear, x = nn.Linear(24, 56), torch.randn(5, 24)
    found = BFloat16Linear(linear.weight, linear.bias)(x)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, linear(x).detach(), atol=0.03, rtol=0)


@needs_packing
@pytest.mark.parametrize("rows", [None, slice(-2, None), torch.tensor([0, 2])])
def test_attention_with_one_product_equals_the_plain_one(rows: torch.Tensor | slice | None) -> None:
    torch.manual_seed(0)
    layer, x = SelfAttention(24, 3, 0.0).requires_grad_(False), torch.randn(2, 5, 24)

    def attention(queries: torch.Tensor, keys_values: torch.Tensor, dropout: float) -> torch.Tensor:
        scores = torch.einsum("bqhd,bkhd->bhqk", queries, keys_values[:, :, 0])
        return torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), keys_values[:, :, 1])

    fused = PackedSelfAttention(layer, "float32")
    torch.testing.assert_close(fused(x, attention, rows), layer(x, attention, rows), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(fused.keys_values(x), layer.keys_values(x), atol=1e-5, rtol=1e-5)


def test_a_precision_that_the_device_lacks_is_refused_with_those_that_work(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    with pytest.raises(ConfigError, match="precision: must be float32, bfloat16 or int8, found 'int4'"):
        check_precision("int4", cpu)
    with pytest.raises(ConfigError, match="int8 needs the CPU, found cuda; there, bfloat16 and float32 work"):
        check_precision("int8", gpu)
    monkeypatch.setattr(packed, "input_levels", lambda: 0)
    with pytest.raises(ConfigError, match="int8 needs an x86 processor and a torch with oneDNN; here, float32 works"):
        check_precision("int8", cpu)
