"""Pitch of tones whose frequency is known, and of sentences that end higher or lower than they began."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.pitch import SAMPLE_RATE, ending, pitch, semitones


def voice(frequencies: np.ndarray, harmonics: int = 12) -> np.ndarray:
    """A buzz whose frequency at each sample is given, with the slope of a voice."""
    phase = 2 * np.pi * np.cumsum(frequencies) / SAMPLE_RATE
    return sum(np.sin(number * phase) / number for number in range(1, harmonics + 1)).astype(np.float32) * 0.1


@settings(max_examples=25, deadline=None)
@given(st.floats(70, 450), st.integers(1, 20), st.floats(0.01, 1))
def test_a_buzz_has_its_frequency_at_any_level(frequency: float, harmonics: int, level: float) -> None:
    found = pitch(np.float32(level) * voice(np.full(SAMPLE_RATE // 2, frequency), harmonics))
    assert not np.isnan(found).any()
    np.testing.assert_allclose(found, frequency, rtol=0.01)


def test_a_glide_is_followed() -> None:
    glide = np.linspace(100, 200, SAMPLE_RATE)
    found = pitch(voice(glide))
    middles = (np.arange(len(found)) * 0.01 + 0.02) * SAMPLE_RATE
    np.testing.assert_allclose(found, np.interp(middles, np.arange(SAMPLE_RATE), glide), rtol=0.03)


@pytest.mark.parametrize("sound", ["noise", "silence", "pause"])
def test_what_has_no_pitch_has_none(sound: str) -> None:
    noise = np.random.default_rng(0).standard_normal(SAMPLE_RATE).astype(np.float32)
    if sound == "pause":
        mixed = np.concatenate([voice(np.full(8000, 120.0)), 1e-4 * noise[:8000]])
        assert np.isnan(pitch(mixed)[55:]).all()
    else:
        assert np.isnan(pitch(0.1 * noise if sound == "noise" else 0 * noise)).mean() > 0.95


def test_short_samples_are_no_error() -> None:
    assert np.isnan(ending(np.zeros(3, np.float32)))
    assert len(pitch(voice(np.full(100, 200.0)))) == 1


@pytest.mark.parametrize(("last", "expected"), [(240.0, 12.0), (60.0 * 2 ** (5 / 12), -7.0), (120.0, 0.0)])
def test_the_end_of_a_sentence_is_measured_against_its_middle(last: float, expected: float) -> None:
    frequencies = np.concatenate([np.full(SAMPLE_RATE, 120.0), np.full(int(0.35 * SAMPLE_RATE), last)])
    silence = np.zeros(SAMPLE_RATE // 2, np.float32)
    assert ending(np.concatenate([voice(frequencies), silence])) == pytest.approx(expected, abs=0.4)


def test_semitones_are_twelve_an_octave() -> None:
    np.testing.assert_allclose(semitones(np.array([110.0, 220.0, 55.0]), 110.0), [0, 12, -12])
