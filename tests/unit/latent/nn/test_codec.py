"""The causal convolutions and the audio tokenizer: chunks equal the whole, rows and the past are independent."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import tiny_sigma_vae

from latent.models.sigma_vae import SigmaVAE
from latent.nn.conv import CausalConv, CausalUpsampling, cleared, run_stack
from s2s.config import parse_section
from s2s.errors import ConfigError

SIZES = {"ratios": (2, 3), "depths": (1, 2, 1), "widths": (3, 5, 4), "latent_size": 6, "kernel_size": 5}
VAE = tiny_sigma_vae(layer_scale=0.5, **SIZES).double().eval()
chunk_sizes = st.lists(st.integers(1, 4), min_size=1, max_size=6)


@settings(max_examples=20, deadline=None)
@given(chunk_sizes)
def test_chunks_of_any_size_encode_and_decode_as_the_whole(chunks: list[int]) -> None:
    audio = torch.randn(2, 1, 6 * sum(chunks), dtype=torch.float64)
    mean = VAE.encode(audio)
    history, parts = None, []
    for chunk in audio.split([6 * frames for frames in chunks], dim=2):
        part, history = VAE.encode_chunk(chunk, history)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, 1), mean)
    history, parts = None, []
    for chunk in mean.split(chunks, dim=1):
        part, history = VAE.decode_chunk(chunk, history)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, 2), VAE.decode(mean))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 4), st.lists(st.integers(1, 3), min_size=1, max_size=4), st.booleans())
def test_every_convolution_streams(extra: int, stride: int, chunks: list[int], up: bool) -> None:
    layer = CausalUpsampling(2, 3, stride) if up else CausalConv(2, 3, stride + extra - 1, stride)
    layer = layer.double()
    unit = 1 if up else stride
    x = torch.randn(1, 2, unit * sum(chunks), dtype=torch.float64)
    whole, _ = layer(x, None)
    assert whole.shape[-1] == (sum(chunks) * stride if up else sum(chunks))
    past, parts = None, []
    for chunk in x.split([unit * size for size in chunks], dim=2):
        part, past = layer(chunk, past)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, 2), whole)


def test_upsampling_is_the_transposed_convolution_without_its_end() -> None:
    layer = CausalUpsampling(3, 2, 4).double()
    x = torch.randn(2, 3, 5, dtype=torch.float64)
    torch.testing.assert_close(layer(x, None)[0], layer.conv(x)[..., :20])


def test_no_frame_and_no_sample_sees_the_future() -> None:
    audio = torch.randn(1, 1, 30, dtype=torch.float64, requires_grad=True)
    mean = VAE.encode(audio)
    for frame in range(5):
        (gradient,) = torch.autograd.grad(mean[0, frame].sum(), audio, retain_graph=True)
        assert not gradient[0, 0, 6 * (frame + 1) :].any()
        assert gradient[0, 0, 6 * frame : 6 * (frame + 1)].all(), "a frame reads all of its own samples"
    latents = torch.randn(1, 5, 6, dtype=torch.float64, requires_grad=True)
    decoded = VAE.decode(latents)
    for sample in (0, 5, 6, 17, 29):
        (gradient,) = torch.autograd.grad(decoded[0, 0, sample], latents, retain_graph=True)
        assert not gradient[0, sample // 6 + 1 :].any()
        assert gradient[0, sample // 6].all()


def test_a_row_in_a_batch_equals_the_row_alone() -> None:
    audio = torch.randn(3, 1, 24, dtype=torch.float64)
    together = VAE.encode(audio)
    for row in range(3):
        torch.testing.assert_close(VAE.encode(audio[row : row + 1])[0], together[row])


def test_a_cleared_row_starts_again_and_the_others_go_on() -> None:
    first, second = torch.randn(2, 2, 1, 12, dtype=torch.float64)
    _, history = VAE.encode_chunk(first, None)
    continued, _ = VAE.encode_chunk(second, history)
    mixed, _ = VAE.encode_chunk(second, cleared(history, torch.tensor([True, False])))
    torch.testing.assert_close(mixed[0], VAE.encode(second)[0])
    torch.testing.assert_close(mixed[1], continued[1])


def test_the_callers_history_is_not_changed() -> None:
    _, history = VAE.encode_chunk(torch.randn(1, 1, 12, dtype=torch.float64), None)
    before = [past.clone() for past in history]
    run_stack(VAE.encoder.layers, torch.randn(1, 1, 6, dtype=torch.float64), history)
    assert all(torch.equal(past, old) for past, old in zip(history, before, strict=True))


def test_the_history_does_not_keep_the_chunk_in_memory() -> None:
    histories = [VAE.encode_chunk(torch.randn(1, 1, 600, dtype=torch.float64), None)[1]]
    histories.append(VAE.decode_chunk(torch.randn(1, 100, 6, dtype=torch.float64), None)[1])
    for past in (past for history in histories for past in history):
        assert past.untyped_storage().nbytes() == past.numel() * past.element_size()


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40))
def test_a_partial_frame_is_filled_with_zeros(samples: int) -> None:
    audio = torch.randn(1, 1, samples, dtype=torch.float64)
    mean = VAE.encode(audio)
    assert mean.shape == (1, -(-samples // 6), 6)
    padded = torch.cat([audio, torch.zeros(1, 1, 60, dtype=torch.float64)], dim=2)
    torch.testing.assert_close(VAE.encode(padded)[:, : mean.shape[1]], mean)


def test_one_scale_for_a_recording_drawn_before_the_noise() -> None:
    mean = torch.zeros(4, 50, 6, dtype=torch.float64)
    latents = VAE.sample(mean, torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    scale = torch.randn(4, generator=generator, dtype=torch.float64)
    noise = torch.randn(4, 50, 6, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(latents, 0.5 / 0.8 * scale[:, None, None] * noise)


def test_the_fixed_and_the_absent_variance() -> None:
    mean, noise = torch.randn(2, 2, 3, 6, dtype=torch.float64)
    scale = torch.randn(2, dtype=torch.float64)
    fixed, absent = tiny_sigma_vae(sigma_rule="fixed", std=0.7), tiny_sigma_vae(sigma_rule="none")
    torch.testing.assert_close(fixed.perturb(mean, scale, noise), mean + 0.7 * noise)
    assert torch.equal(absent.sample(mean), mean)


def test_decoder_depths_are_the_encoders_reversed_unless_given() -> None:
    models = [tiny_sigma_vae(decoder_depths=depths, **SIZES) for depths in (None, (1, 1, 1), (3, 1, 1))]
    assert [len(model.decoder.layers) for model in models] == [8, 7, 9]
    assert VAE.hop_length == 6
    assert VAE.frame_rate == 4000


def test_the_released_size_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        vae = SigmaVAE(SigmaVAE.Config())
    assert sum(parameter.numel() for parameter in vae.encoder.parameters()) == 343_696_032
    assert sum(parameter.numel() for parameter in vae.decoder.parameters()) == 343_695_969


def test_stages_must_agree() -> None:
    with pytest.raises(ConfigError, match="model: depths must have one more entry than ratios \\(3\\), found 2"):
        parse_section(SigmaVAE.Config, {"ratios": [2, 3], "depths": [1, 1], "widths": [3, 4, 5]}, "model")
