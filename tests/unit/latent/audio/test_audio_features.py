"""Mel features against an independent implementation, and levels and silence on signals whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latent.audio.features import LogMel, mel_filters, stft_magnitude
from latent.audio.levels import normalize_loudness, trim_silence
from latent.audio.resampling import resample
from s2s.errors import InputError

RATE = 16000


@pytest.mark.parametrize(
    ("rate", "n_fft", "n_mels", "low", "high"), [(24000, 1024, 80, 0, None), (16000, 400, 40, 50.0, 7000.0)]
)
def test_mel_filters_equal_those_of_transformers(
    rate: int, n_fft: int, n_mels: int, low: float, high: float | None
) -> None:
    audio_utils = pytest.importorskip("transformers.audio_utils")
    theirs = audio_utils.mel_filter_bank(
        n_fft // 2 + 1, n_mels, low, high or rate / 2, rate, norm="slaney", mel_scale="slaney"
    )
    ours = mel_filters(rate, n_fft, n_mels, low, high)
    np.testing.assert_allclose(ours.numpy(), theirs.T, atol=1e-7)


def test_log_mel_peaks_at_the_filter_of_the_tone() -> None:
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(RATE) / RATE)
    mel = LogMel(RATE, n_mels=40, window_length=512)(tone[None])
    filters = mel_filters(RATE, 512, 40)
    assert mel.shape == (1, 40, RATE // 128 + 1)
    assert int(mel[0, :, 60].argmax()) == int(filters[:, 32].argmax())  # bin 32 of 512 at 16 kHz is 1 kHz


def test_log_mel_is_linear_in_gain_above_the_floor() -> None:
    audio = torch.randn(2, 3000, generator=torch.Generator().manual_seed(0))
    log_mel = LogMel(RATE, n_mels=20, window_length=256)
    torch.testing.assert_close(log_mel(10 * audio), log_mel(audio) + 1)
    torch.testing.assert_close(log_mel(torch.zeros(1, 300)), torch.full((1, 20, 300 // 64 + 1), -5.0))


def test_batch_equals_singles_and_short_audio_is_padded() -> None:
    audio = torch.randn(3, 700, generator=torch.Generator().manual_seed(1))
    log_mel = LogMel(RATE, n_mels=16, window_length=512)
    torch.testing.assert_close(log_mel(audio), torch.cat([log_mel(row[None]) for row in audio]))
    assert log_mel(audio[:, :10]).shape[:2] == (3, 16)


def test_gradient_reaches_the_audio() -> None:
    audio = torch.randn(1, 600, generator=torch.Generator().manual_seed(2), requires_grad=True)
    stft_magnitude(audio, torch.hann_window(64), 16).sum().backward()
    assert audio.grad is not None
    assert audio.grad.abs().min() > 0


@settings(max_examples=30, deadline=None)
@given(gain=st.floats(0.01, 0.5), dbfs=st.floats(-40, -25))
def test_loudness_is_reached_whatever_the_gain(gain: float, dbfs: float) -> None:
    samples = (gain * np.sin(np.arange(2000) / 5)).astype(np.float32)
    level = 20 * np.log10(np.sqrt(np.mean(normalize_loudness(samples, dbfs) ** 2)))
    assert level == pytest.approx(dbfs, abs=0.01)


def test_loudness_never_clips_and_leaves_silence_silent() -> None:
    click = np.zeros(10000, np.float32)
    click[5] = 1
    assert np.abs(normalize_loudness(click, -10)).max() <= 1
    assert not normalize_loudness(np.zeros(10, np.float32)).any()


@settings(max_examples=30, deadline=None)
@given(before=st.integers(0, 8000), after=st.integers(0, 8000))
def test_trimming_leaves_the_tone_and_the_margin(before: int, after: int) -> None:
    tone = (0.3 * np.sin(np.arange(6000) / 3)).astype(np.float32)
    padded = np.concatenate([np.zeros(before, np.float32), tone, np.zeros(after, np.float32)])
    trimmed = trim_silence(padded, RATE, keep_seconds=0.05)
    frame = int(0.035 * RATE)
    assert 6000 <= len(trimmed) <= 6000 + min(before, 800 + frame) + min(after, 800 + frame)
    assert np.abs(trimmed).sum() == pytest.approx(np.abs(tone).sum(), rel=1e-5)


def test_trimming_silence_alone_leaves_nothing() -> None:
    assert len(trim_silence(np.zeros(5000, np.float32), RATE)) == 0


def test_resampling_keeps_a_tone_and_the_seconds() -> None:
    pytest.importorskip("soxr")
    tone = np.sin(2 * np.pi * 440 * np.arange(8000) / 8000).astype(np.float32)
    converted = resample(tone, 8000, 24000)
    expected = np.sin(2 * np.pi * 440 * np.arange(24000) / 24000)
    assert converted.dtype == np.float32
    assert len(converted) == 24000
    assert np.abs(converted - expected)[600:-600].max() < 1e-3
    assert resample(tone, 8000, 8000) is tone
    with pytest.raises(InputError, match="sample rate must be positive, found 0 Hz"):
        resample(tone, 0, 8000)
