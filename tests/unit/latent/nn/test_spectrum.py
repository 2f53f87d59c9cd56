"""The spectral first and last stage: causal, in chunks as whole, and true to what goes through."""

from __future__ import annotations

import pytest
import torch

from latent.models.sigma_vae import SigmaVAE
from latent.nn.spectrum import SpectrumReader, SpectrumWriter
from s2s.config import parse_section
from s2s.errors import ConfigError


def vae(**options: object) -> SigmaVAE:
    torch.manual_seed(4)
    sizes = {"window": 24, "ratios": (6, 3), "depths": (0, 1, 1), "widths": (1, 8, 6), "latent_size": 4}
    scale = {"layer_scale": 0.3, "initializer_range": None}
    return SigmaVAE(SigmaVAE.Config(**(sizes | scale | options))).eval()


@torch.no_grad()
@pytest.mark.parametrize("frames", [1, 2, 5])
def test_chunks_equal_the_whole(frames: int) -> None:
    model, audio = vae(), torch.randn(2, 1, 18 * 10)
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
def test_prepared_layers_give_the_same() -> None:
    model, prepared, audio = vae(), vae(), torch.randn(2, 1, 18 * 7)
    prepared.prepare()
    mean = model.encode(audio)
    torch.testing.assert_close(prepared.encode(audio), mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(prepared.decode(mean), model.decode(mean), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_nothing_depends_on_later_samples_or_frames() -> None:
    model, audio = vae(), torch.randn(1, 1, 18 * 8)
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


def test_the_window_must_fit_the_first_ratio() -> None:
    values = {"window": 20, "ratios": [6, 3], "depths": [0, 1, 1], "widths": [1, 8, 6]}
    with pytest.raises(
        ConfigError, match="window must be an even multiple of the first of two ratios or more, found 20"
    ):
        parse_section(SigmaVAE.Config, values, "model")
