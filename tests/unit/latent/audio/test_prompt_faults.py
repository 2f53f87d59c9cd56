"""Faults of recordings that are made worse on purpose: each is found, and none where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from latent.audio.prompt_faults import prompt_faults

RATE = 16000


def speech(seconds: float = 4.0) -> np.ndarray:
    """Syllables of noise in all frequencies, with pauses 40 dB below."""
    generator, time = np.random.default_rng(0), np.arange(int(seconds * RATE)) / RATE
    envelope = 0.003 + np.clip(np.sin(2 * np.pi * 2.5 * time), 0, 1) * (np.sin(2 * np.pi * 0.4 * time) > -0.5)
    return (0.1 * generator.standard_normal(len(time)) * envelope).astype(np.float32)


def noisy(samples: np.ndarray) -> np.ndarray:
    return samples + (0.03 * np.random.default_rng(1).standard_normal(len(samples))).astype(np.float32)


def narrow(samples: np.ndarray) -> np.ndarray:
    spectrum = np.fft.rfft(samples)
    spectrum[np.fft.rfftfreq(len(samples), 1 / RATE) > 3800] = 0
    return np.fft.irfft(spectrum, len(samples)).astype(np.float32)


def loud(samples: np.ndarray) -> np.ndarray:
    return np.clip(20 * samples, -1, 1)


def music(samples: np.ndarray) -> np.ndarray:
    time = np.arange(len(samples)) / RATE
    return sum(0.05 * np.sin(2 * np.pi * tone * time) for tone in (220, 277, 330, 5500)).astype(np.float32)


@pytest.mark.parametrize(
    ("worsen", "found"),
    [
        (lambda samples: samples, []),
        (lambda samples: 0.01 * samples, []),
        (noisy, ["noise or music"]),
        (music, ["noise or music"]),
        (narrow, ["a narrow band"]),
        (loud, ["clipping"]),
        (lambda samples: narrow(noisy(samples)), ["noise or music", "a narrow band"]),
    ],
    ids=["clean", "soft", "noise", "music", "narrow", "clipped", "noise and narrow"],
)
def test_each_fault_is_found_and_no_other(worsen: object, found: list[str]) -> None:
    faults = prompt_faults(worsen(speech()), RATE)
    assert len(faults) == len(found), faults
    assert all(fault.startswith(begin) for fault, begin in zip(faults, found, strict=True))


def test_what_was_measured_is_told() -> None:
    assert prompt_faults(narrow(speech()), RATE) == ["a narrow band, as of a telephone (nothing above 3.9 kHz)"]


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(5), np.ones(5)], ids=["none", "silent", "constant"])
def test_no_recording_is_an_error(samples: np.ndarray) -> None:
    assert isinstance(prompt_faults(samples.astype(np.float32), RATE), list)
