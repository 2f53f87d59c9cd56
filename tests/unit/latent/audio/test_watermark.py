"""The watermark: only low frequencies change, and the package's own weights recognize it after compression."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

pytest.importorskip("soxr")
from latent.audio import watermark
from latent.audio.files import load_audio, write_audio
from latent.audio.watermark import Watermark
from s2s.errors import InputError

needs_weights = pytest.mark.skipif(find_spec("perth") is None, reason="needs resemble-perth")


def syllables(seconds: float, rate: int) -> NDArray[np.float32]:
    """Harmonics of a gliding pitch in bursts, with a little noise: as much like speech as a test needs."""
    time = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(130 + 25 * np.sin(2 * np.pi * 0.7 * time)) / rate
    formants = 0.6 + 0.4 * np.sin(2 * np.pi * 1.3 * time)
    voiced = sum(np.sin(k * phase) * np.exp(-((k - 5 * formants) ** 2) / 9) / k**0.5 for k in range(1, 25))
    loud = np.clip(np.sin(2 * np.pi * 3.1 * time), 0, None) ** 0.5
    noise = np.random.default_rng(0).standard_normal(len(time))
    return (0.1 * loud * voiced + 0.002 * noise).astype(np.float32)


def random_network() -> Watermark:
    generator = torch.Generator().manual_seed(0)
    sizes = [(8, 128, 1), *[(8, 8, 7)] * 5, (128, 8, 1)]
    weights = {}
    for layer, size in enumerate(sizes):
        weights[f"encoder.layers.{layer}.conv.weight"] = 0.2 * torch.randn(size, generator=generator)
        weights[f"encoder.layers.{layer}.conv.bias"] = torch.zeros(size[0])
    return Watermark(weights)


@pytest.mark.parametrize("rate", [8000, 24000])
@pytest.mark.parametrize("seconds", [0.01, 1.3])
def test_only_what_lies_below_2_khz_changes_and_the_length_stays(rate: int, seconds: float) -> None:
    samples = syllables(seconds, rate)
    marked = random_network()(samples, rate)
    assert marked.dtype == np.float32
    assert marked.shape == samples.shape
    change = np.abs(np.fft.rfft((marked - samples) * np.hanning(len(samples)))) ** 2
    frequencies = np.fft.rfftfreq(len(samples), 1 / rate)
    assert change.sum() > 0
    if seconds > 1:
        assert change[frequencies > 2100].sum() < 1e-3 * change.sum()


@needs_weights
@pytest.mark.parametrize("rate", [16000, 24000])
def test_a_mark_is_recognized_after_compression_and_cutting(tmp_path: Path, rate: int) -> None:
    mark = Watermark.load()
    samples = syllables(2.0, rate)
    assert mark.confidence(samples, rate) < 0.5
    marked = mark(samples, rate)
    assert mark.confidence(marked, rate) > 0.9
    assert mark.confidence(0.5 * marked[len(marked) // 3 :], rate) > 0.9
    write_audio(tmp_path / "x.ogg", marked, rate)
    assert mark.confidence(load_audio(tmp_path / "x.ogg", rate), rate) > 0.9


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise watermark.PackageNotFoundError(name)

    monkeypatch.setattr(watermark, "files", absent)
    with pytest.raises(InputError, match=r'pip install "unilatent\[watermark\]"'):
        Watermark.load()
    monkeypatch.setattr(watermark, "files", lambda name: [])
    with pytest.raises(InputError, match="its weights cannot be read"):
        Watermark.load()
