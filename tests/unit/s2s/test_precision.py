"""Weights that were stored in fewer bits come back as near as the bits allow."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from s2s.checkpoint import read_tensors
from s2s.errors import InputError
from s2s.precision import restored, stored


@given(
    st.lists(st.floats(1e-30, 1e30), min_size=1, max_size=5),
    st.sampled_from([(1024,), (32, 32), (256, 4)]),
    st.integers(0, 9),
)
def test_eight_bits_err_by_half_a_step_of_the_row(sizes: list[float], shape: tuple[int, ...], seed: int) -> None:
    rows = torch.tensor(sizes).view(-1, *[1] * len(shape))
    weights = rows * (2 * torch.rand(len(sizes), *shape, generator=torch.Generator().manual_seed(seed)) - 1)
    found = stored({"w": weights}, "int8")
    assert found["w"].dtype == torch.int8
    assert found["w_scale"].shape == (len(sizes),)
    error = (restored(found)["w"] - weights).abs().flatten(1).amax(1)
    assert (error <= weights.abs().flatten(1).amax(1) * 0.501 / 127).all()
    assert set(restored(found)) == {"w"}


def test_zeros_stay_zeros_and_small_tensors_stay_as_they_are() -> None:
    weights = {"zeros": torch.zeros(64, 64), "bias": torch.rand(5000), "few": torch.rand(3, 3), "ids": torch.arange(9)}
    found = restored(stored(weights, "int8"))
    assert all(torch.equal(found[name], weights[name]) for name in weights)


def test_a_weight_beyond_the_range_of_float16_is_named() -> None:
    with pytest.raises(InputError, match="w has a weight beyond the range of float16; bfloat16 has"):
        stored({"w": torch.tensor([1e6])}, "float16")


def test_factors_that_do_not_fit_are_refused_with_the_file(tmp_path: Path) -> None:
    weights = stored({"w": torch.rand(40, 40)}, "int8")
    save_file(weights | {"w_scale": torch.rand(39)}, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=r"model\.safetensors: w_scale has shape \(39,\), not \(40,\)"):
        read_tensors(tmp_path / "model.safetensors")
