"""Pictures of audio: nothing of the signal is lost to the columns, and blocks do not show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from latent.audio.files import write_audio
from latent.longform import picture
from latent.longform.picture import Span, draw_audio, overview
from s2s.errors import InputError

soundfile = pytest.importorskip("soundfile")

RATE = 8000


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    samples = 0.01 * np.random.default_rng(1).standard_normal(5 * RATE + 77)
    samples[3 * RATE : 3 * RATE + 400] += 0.5 * np.sin(np.arange(400) * 2 * np.pi * 1000 / RATE)
    write_audio(tmp_path / "a.wav", samples.astype(np.float32), RATE)
    return tmp_path / "a.wav"


def test_the_loudest_moment_is_seen_where_it_is(audio: Path) -> None:
    seen = overview(audio, columns=50)
    assert seen.log_mel.shape == (80, 50)
    samples, _ = soundfile.read(audio)
    assert seen.high.max() == pytest.approx(samples.max())
    assert seen.low.min() == pytest.approx(samples.min())
    assert abs(int(seen.high.argmax()) / 50 * seen.seconds - 3) < 0.15
    assert abs(int(seen.log_mel.max(axis=0).argmax()) / 50 * seen.seconds - 3) < 0.15


def test_blocks_do_not_show(audio: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = overview(audio, columns=20)
    monkeypatch.setattr(picture, "_BLOCK_HOPS", 64)
    blocks = overview(audio, columns=20)
    np.testing.assert_array_equal(whole.low, blocks.low)
    np.testing.assert_array_equal(whole.high, blocks.high)
    np.testing.assert_allclose(whole.log_mel, blocks.log_mel, atol=0.1)  # frames at the seams are reflected


def test_short_audio_has_fewer_columns(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", np.ones(100, np.float32) / 2, RATE)
    seen = overview(tmp_path / "a.wav")
    assert len(seen.high) == seen.log_mel.shape[1] < 10
    assert np.isfinite(seen.log_mel).all()


def test_a_picture_is_drawn(audio: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw_audio(audio, tmp_path / "a.png", "title", [Span("ann", 0.0, 2.0), Span("bob", 2.5, 5.0)])
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match=r"none/a.png: cannot be written"):
        draw_audio(audio, tmp_path / "none" / "a.png", "title")
