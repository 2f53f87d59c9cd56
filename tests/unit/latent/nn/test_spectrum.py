"""The spectral first and last stage: causal, in chunks as whole, and true to what goes through."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latent.audio.pitch import pitch
from latent.audio_tokenizer import encode_samples
from latent.criteria.sigma_vae import SpectraCriterion, pitch_difference
from latent.data.batch import AudioBatch
from latent.models.sigma_vae import SigmaVAE
from latent.nn.conv import take_rows
from latent.nn.harmonics import AHEAD, REFERENCE, HarmonicWriter
from latent.nn.spectrum import SpectrumReader, SpectrumWriter
from s2s.config import parse_section
from s2s.errors import ConfigError


def vae(**options: object) -> SigmaVAE:
    torch.manual_seed(4)
    sizes = {"window": 24, "ratios": (6, 3), "depths": (0, 1, 1), "widths": (1, 8, 6), "latent_size": 4}
    scale = {"layer_scale": 0.3, "initializer_range": None}
    return SigmaVAE(SigmaVAE.Config(**(sizes | scale | options))).eval()


@torch.no_grad()
@pytest.mark.parametrize("writer", ["spectrum", "harmonics"])
@pytest.mark.parametrize("frames", [1, 2, 5])
def test_chunks_equal_the_whole(frames: int, writer: str) -> None:
    model, audio = vae(writer=writer), torch.randn(2, 1, 18 * 10)
    whole = model.encode(audio)
    history, parts = None, []
    for chunk in audio.split(18 * frames, dim=-1):
        mean, history = model.encode_chunk(chunk, history)
        parts.append(mean)
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-4, atol=1e-5)
    history, parts = None, []
    for chunk in whole.split(frames, dim=1):
        sound, history = model.decode_chunk(chunk, history)
        parts.append(sound)
    torch.testing.assert_close(torch.cat(parts, -1), model.decode(whole), rtol=1e-4, atol=1e-5)


@torch.no_grad()
@settings(max_examples=25, deadline=None)
@given(st.integers(1, 100), st.integers(0, 40), st.integers(1, 4))
def test_the_encoder_hears_as_far_ahead_as_it_may(length: int, lookahead: int, chunk: int) -> None:
    model, audio = vae(lookahead=lookahead), torch.randn(1, 1, length)
    means = model.encode(audio)
    assert means.shape[1] == -(-length // 18)
    in_chunks = encode_samples(model, audio[0, 0].numpy(), "cpu", chunk / model.frame_rate)
    torch.testing.assert_close(in_chunks, means[0], rtol=1e-4, atol=1e-5)
    for changed in range(length):
        other = audio.clone()
        other[..., changed:] += 1
        unheard = max(0, (changed - lookahead) // 18)  # frames that end before the change
        torch.testing.assert_close(model.encode(other)[:, :unheard], means[:, :unheard], rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("writer", ["spectrum", "harmonics"])
def test_prepared_layers_give_the_same(writer: str) -> None:
    model, prepared, audio = vae(writer=writer), vae(writer=writer), torch.randn(2, 1, 18 * 7)
    prepared.prepare()
    mean = model.encode(audio)
    torch.testing.assert_close(prepared.encode(audio), mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(prepared.decode(mean), model.decode(mean), rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("writer", ["spectrum", "harmonics"])
def test_nothing_depends_on_later_samples_or_frames(writer: str) -> None:
    model, audio = vae(writer=writer), torch.randn(1, 1, 18 * 8)
    changed = audio.clone()
    changed[..., 18 * 4 :] += 1
    assert torch.equal(model.encode(audio)[:, :4], model.encode(changed)[:, :4])
    latents = torch.randn(1, 8, 4)
    later = latents.clone()
    later[:, 4:] += 1
    torch.testing.assert_close(model.decode(latents)[..., : 18 * 4], model.decode(later)[..., : 18 * 4])


@torch.no_grad()
def test_a_tone_read_and_written_is_a_tone_of_that_pitch() -> None:
    reader, writer = SpectrumReader(32, 8), SpectrumWriter(17, 32, 8)
    tone = torch.sin(2 * torch.pi * torch.arange(160) / 8).view(1, 1, -1)
    spectrum, past = reader(tone, None)
    assert past.shape == (1, 1, 24)
    assert (spectrum[0, :, 5:].argmax(0) == 4).all()
    writer.project.weight.zero_()
    writer.project.weight[:17] = 2 * torch.eye(
        17
    )  # magnitudes as read; all phases 0, so frames are pulses at their start
    sound, _ = writer(spectrum, None)
    heard, _ = reader(sound, None)
    assert (heard[0, :, 8:].argmax(0) == 4).all()


@torch.no_grad()
@pytest.mark.parametrize("rows", [[0], [1, 0]])
def test_a_row_sounds_as_it_does_alone_wherever_it_joins(rows: list[int]) -> None:
    model, latents = vae(writer="harmonics"), torch.randn(2, 6, 4)
    _, history = model.decode_chunk(latents[:, :3], None)
    together, _ = model.decode_chunk(latents[rows, 3:], take_rows(history, torch.tensor(rows)))
    for place, row in enumerate(rows):
        alone = model.decode(latents[row : row + 1])
        torch.testing.assert_close(together[place : place + 1], alone[..., 18 * 3 :], rtol=1e-4, atol=1e-5)


@torch.no_grad()
@settings(max_examples=20, deadline=None)
@given(st.floats(70, 450))
def test_pulses_have_the_pitch_that_is_asked_for(frequency: float) -> None:
    writer = HarmonicWriter(5, 960, 240, 24_000).eval()
    for weight in writer.parameters():
        weight.zero_()
    writer.pitch_down.bias.fill_(math.log2(frequency / REFERENCE))
    voiced, unvoiced = writer.project.bias.chunk(2)
    voiced[:] = -0.1 * torch.arange(len(voiced))  # high harmonics are soft, as in a voice
    unvoiced[:] = -20
    sound, _ = writer(torch.zeros(1, 5, 60), None)
    found = pitch(sound[:, 0, 2400:], 24_000)
    assert not found[:, :40].isnan().any()
    torch.testing.assert_close(found[:, :40], torch.full((1, 40), frequency), rtol=0.01, atol=0)


@pytest.mark.parametrize("gain", [-200.0, -95.0, 0.0, 200.0])
def test_gains_of_any_size_have_finite_gradients(gain: float) -> None:
    writer, features = HarmonicWriter(5, 960, 240, 24_000), torch.randn(1, 5, 12, requires_grad=True)
    with torch.no_grad():
        writer.project.bias.add_(gain)
    writer(features, None)[0].square().sum().backward()
    for tensor in (features, *writer.project.parameters()):
        assert tensor.grad.isfinite().all()


def test_the_loss_of_pitch_is_that_of_the_recording_in_octaves() -> None:
    seconds = torch.arange(24_000) / 24_000
    buzz = sum(torch.sin(2 * torch.pi * 200 * number * seconds) / number for number in range(1, 9))
    batch = AudioBatch(["a"], 0.1 * buzz.view(1, 1, -1), 24_000)
    right = torch.full((1, 100), math.log2(200 / REFERENCE), requires_grad=True)
    assert pitch_difference(batch, right) < 0.01
    wrong = right + 0.5
    assert pitch_difference(batch, wrong).item() == pytest.approx(0.5, abs=0.01)
    pitch_difference(batch, wrong).backward()
    assert right.grad[0, :90].gt(0).all()
    assert right.grad[0, -AHEAD:].eq(0).all()  # they are the pitch of what follows


def test_a_pitch_is_taught_where_there_is_one_and_only_there() -> None:
    batch = AudioBatch(["a"], torch.randn(1, 1, 1800), 2400)
    without, with_pitch = (
        SpectraCriterion(SpectraCriterion.Config(mel_windows=(32,), mel_bins=(5,), pitch_weight=weight))
        for weight in (0.0, 5.0)
    )
    with pytest.raises(ConfigError, match=r"criterion\.pitch_weight: must be 0 for"):
        with_pitch.check(vae(), batch)
    with pytest.raises(ConfigError, match=r"criterion\.pitch_weight: must be above 0"):
        without.check(vae(writer="harmonics"), batch)
    with_pitch.check(vae(writer="harmonics"), batch)
    assert set(with_pitch(vae(writer="harmonics"), batch)) == {"mel_loss", "kl_loss", "pitch_loss"}


def test_harmonics_need_a_window_of_four_hops() -> None:
    with pytest.raises(ValueError, match="window must be 4 times the first ratio for the writer 'harmonics', found 12"):
        vae(writer="harmonics", window=12)


def test_the_window_must_fit_the_first_ratio() -> None:
    values = {"window": 20, "ratios": [6, 3], "depths": [0, 1, 1], "widths": [1, 8, 6]}
    with pytest.raises(
        ConfigError, match="window must be an even multiple of the first of two ratios or more, found 20"
    ):
        parse_section(SigmaVAE.Config, values, "model")
