"""Questions that rise, and voices that follow their prompts, in the report on speech."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from eval.intonation import intonation, is_question
from eval.speech import RECORDINGS, SpeechSettings, evaluate_speech
from eval.spoken_texts import read_spoken_texts
from latent.audio.files import write_audio
from s2s.errors import InputError

pytest.importorskip("soundfile")
pytest.importorskip("soxr")

RATE = 16000


def sentence(last: float, pitch: float = 120.0) -> np.ndarray:
    """A buzz that ends at another pitch."""
    frequencies = np.concatenate([np.full(RATE, pitch), np.full(int(0.35 * RATE), last)])
    phase = 2 * np.pi * np.cumsum(frequencies) / RATE
    return (0.1 * sum(np.sin(k * phase) / k for k in range(1, 12))).astype(np.float32)


def texts(folder: Path, **fields: str) -> str:
    lines = [{"id": "a", "text": "Is it late?"} | fields, {"id": "b", "text": "It is late."} | fields]
    (folder / "m.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(folder / "m.jsonl")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("So?", True),
        ('He asked "why?" ', True),
        ("Why? Because.", False),
        ("本当に？", True),
        ("No", False),
        ("", False),
    ],
)
def test_a_question_ends_with_its_mark(text: str, expected: bool) -> None:
    assert is_question(text) == expected


def test_ends_of_questions_are_compared_with_those_of_others() -> None:
    asked, others, difference = intonation([4.0, 2.0, -1.0, np.nan, -3.0], [True, True, False, True, False])
    assert [metric.value() for metric in (asked, others, difference)] == [3.0, -2.0, 5.0]
    alone = intonation([1.0, 2.0], [False, False])
    assert np.isnan(alone[0].value())
    assert np.isnan(alone[2].value())
    assert "no such sentence" in alone[0].note


def test_a_voice_that_asks_is_told_from_one_that_does_not(tmp_path: Path) -> None:
    for system, end in (("asks", 180.0), ("flat", 120.0)):
        write_audio(tmp_path / system / "a.wav", sentence(end), RATE)
        write_audio(tmp_path / system / "b.wav", sentence(100.0), RATE)
    folders = {name: str(tmp_path / name) for name in ("asks", "flat")}
    report = evaluate_speech(texts(tmp_path), folders, SpeechSettings(("intonation",), resamples=10))
    rises = {one.name: one.quality["questions above others, semitones"].value for one in report.systems}
    expected = {"asks": 12 * np.log2(180 / 100), "flat": 12 * np.log2(120 / 100)}
    assert rises == pytest.approx(expected, abs=0.3)


def test_prompts_are_found_beside_the_file_or_where_a_synthesis_says(tmp_path: Path) -> None:
    asked = read_spoken_texts(texts(tmp_path, voice="anna.wav"))
    assert [one.prompt for one in asked] == [tmp_path / "anna.wav"] * 2
    made = read_spoken_texts(texts(tmp_path, voice="anna.wav", audio="a.wav", ended="yes"))
    assert made[0].prompt == Path("anna.wav")
    assert read_spoken_texts(texts(tmp_path))[0].prompt is None
    with pytest.raises(InputError, match=r"m\.jsonl:1: 'voice' must be the path of a recording, found a number"):
        read_spoken_texts(texts(tmp_path, voice=3))


@pytest.mark.skipif(not find_spec("resemblyzer"), reason="needs the weights of Resemblyzer")
def test_a_voice_is_compared_with_its_prompt(tmp_path: Path) -> None:
    write_audio(tmp_path / "anna.wav", sentence(110.0), RATE)
    for system, pitch in (("like", 120.0), ("unlike", 260.0)):
        for name in "ab":
            write_audio(tmp_path / system / f"{name}.wav", sentence(pitch, pitch), RATE)
    folders = {name: str(tmp_path / name) for name in ("like", "unlike")}
    report = evaluate_speech(
        texts(tmp_path, voice="anna.wav"), folders, SpeechSettings(("prompt_similarity",), resamples=10)
    )
    like, unlike = (one.quality["similarity to the prompt"].value for one in report.systems)
    assert unlike < like <= 1
    assert RECORDINGS not in {one.name for one in report.systems}
    with pytest.raises(InputError, match=r"--metric prompt_similarity: needs 'voice'"):
        evaluate_speech(texts(tmp_path), folders, SpeechSettings(("prompt_similarity",), resamples=10))
