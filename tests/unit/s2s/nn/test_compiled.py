"""The compiled kernels of attention, beside torch's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from s2s.nn import compiled, packed
from s2s.nn.attention import attend
from s2s.nn.masks import HIDDEN

needs_compiler = pytest.mark.skipif(not compiled.available(), reason="no C++ compiler")


def parts(sentences: int, heads: int, queries: int, keys: int, width: int, bias_heads: int) -> tuple[Tensor, ...]:
    """Queries, keys and values as a pool hands them over, which is not contiguous, and a bias that hides a third."""
    asked = torch.randn(sentences, queries, heads, width).transpose(1, 2)
    buffer = torch.randn(2, sentences, heads, keys + 3, width)[..., :keys, :]
    bias = torch.randn(sentences, bias_heads, queries, keys)
    hidden = torch.rand(bias.shape) < 0.3
    hidden[..., 0] = False
    return asked, buffer[0], buffer[1], bias.masked_fill(hidden, HIDDEN)


@needs_compiler
@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 4), st.integers(1, 5), st.integers(1, 40), st.integers(1, 70), st.sampled_from([16, 32, 48, 64, 128])
)
def test_compiled_attention_equals_that_of_torch_in_64_bits(
    sentences: int, heads: int, queries: int, keys: int, width: int
) -> None:
    torch.manual_seed(sentences * 1000 + keys)
    for bias_heads in {1, heads}:
        asked, key, value, bias = parts(sentences, heads, queries, keys, width, bias_heads)
        for seen in (bias, None):
            exact = [None if part is None else part.double() for part in (asked, key, value, seen)]
            expected = F.scaled_dot_product_attention(*exact).float()
            torch.testing.assert_close(compiled.attend(asked, key, value, seen), expected, atol=4e-6, rtol=2e-5)
            halved = compiled.attend(asked, key.bfloat16(), value.bfloat16(), seen)
            torch.testing.assert_close(halved, expected, atol=0.04, rtol=0.02)


@needs_compiler
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@settings(max_examples=30, deadline=None)
@given(st.data())
def test_hidden_keys_and_other_sentences_change_no_bit(kind: torch.dtype, data: st.DataObject) -> None:
    queries, keys, more = (data.draw(st.integers(1, most)) for most in (20, 40, 30))
    torch.manual_seed(keys)
    asked, key, value, bias = parts(1, 3, queries, keys, 32, 1)
    alone = compiled.attend(asked, key.to(kind), value.to(kind), bias)

    places = torch.tensor(sorted(data.draw(st.permutations(range(keys + more)))[:keys]))
    wide_key, wide_value = (torch.randn(4, 3, keys + more, 32) for _ in range(2))
    wide_bias = torch.full((4, 1, queries, keys + more), HIDDEN)
    wide_key[2, :, places], wide_value[2, :, places], wide_bias[2, :, :, places] = key[0], value[0], bias[0]
    among = compiled.attend(asked.expand(4, -1, -1, -1), wide_key.to(kind), wide_value.to(kind), wide_bias)
    assert torch.equal(among[2], alone[0])


@needs_compiler
def test_each_number_of_threads_gives_the_same_bits() -> None:
    before = torch.get_num_threads()
    arguments = parts(3, 5, 10, 50, 32, 1)
    try:
        outputs = [(torch.set_num_threads(threads), compiled.attend(*arguments))[1] for threads in (1, 2, 5)]
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(outputs[0], other) for other in outputs[1:])


@needs_compiler
def test_the_network_asks_the_kernels_only_where_they_serve() -> None:
    asked, key, value, bias = parts(2, 4, 5, 9, 32, 1)
    assert compiled.serves(asked, key, value, bias)
    assert not compiled.serves(asked.requires_grad_(), key, value, bias)
    with torch.no_grad():
        assert compiled.serves(asked, key, value, bias)
    asked = asked.detach()
    assert not compiled.serves(asked.double(), key, value, bias)
    assert not compiled.serves(asked[..., :24], key[..., :24], value[..., :24], bias)
    assert not compiled.serves(torch.randn(2, 4, 128, 32), key, value, None)
    assert torch.equal(attend(asked, key, value, bias), compiled.attend(asked, key, value, bias))


@pytest.mark.parametrize("compiler", ["false", "no-such-compiler"])
def test_without_a_compiler_attention_is_that_of_torch(compiler: str, tmp_path: Path) -> None:
    program = "import torch; from s2s.nn import compiled; print(compiled.available())"
    environment = {"CXX": compiler, "XDG_CACHE_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert not done.stderr


@needs_compiler
def test_a_broken_library_is_compiled_again(tmp_path: Path) -> None:
    program = "from s2s.nn import compiled; print(compiled.available())"
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}

    def run() -> str:
        return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True).stdout

    assert run() == "True\n"
    (library,) = (tmp_path / "unilatent").glob("kernels-*.so")
    library.write_bytes(library.read_bytes()[:100])
    assert run() == "True\n"


@needs_compiler
@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(1, 70), st.sampled_from([63, 127]), st.floats(-30, 30))
def test_bytes_and_scales_are_those_of_torch(count: int, width: int, levels: int, power: float) -> None:
    torch.manual_seed(count)
    rows = torch.randn(count, width) * 10**power
    rows[0] = 0
    bytes_, largest = compiled.to_bytes(rows, levels)
    expected, sizes = packed._to_bytes(rows, levels)
    assert torch.equal(largest, sizes)
    assert (bytes_.int() - expected.int()).abs().max() <= 1  # where a number lies half way between two
    assert (bytes_ != expected).float().mean() <= 0.01

    outputs, bias = torch.randn(count, width), torch.randn(width)
    for added in (bias, None):
        wanted = packed._scale_rows(outputs.clone(), sizes, added)
        torch.testing.assert_close(compiled.scale_rows(outputs.clone(), sizes, added), wanted)
