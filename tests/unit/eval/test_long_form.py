"""Long recordings: what stays the same, what drifts, and joints that can be heard."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from eval.long_form import Line, as_text, by_minute, evaluate_long_form, measure_joints, read_lines
from eval.pitch import SAMPLE_RATE
from latent.audio.files import Samples, write_audio
from s2s.errors import InputError

pytest.importorskip("soundfile")


def buzz(seconds: float, pitch: float, level: float = 0.1) -> Samples:
    """A hum that swells and fades slowly, so that its ends are silent."""
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    wave = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 9))
    return (level * wave * np.sin(np.pi * time / seconds)).astype(np.float32)


def embed(samples: Samples) -> np.ndarray:
    """A stand-in: the angle of the vector is the number of crossings of zero in a second."""
    angle = np.pi / 2 * np.mean(np.diff(np.signbit(samples)) != 0) * 60
    return np.array([np.cos(angle), np.sin(angle)])


def talk(drift: float) -> tuple[Samples, list[Line]]:
    """Five minutes of two speakers, the second of whom rises and grows by minute; two seconds a minute each."""
    samples = np.zeros(5 * 60 * SAMPLE_RATE, np.float32)
    lines = []
    for minute in range(5):
        for place, who in enumerate(["ann", "bob"]):
            start = 60 * minute + 10 * place
            change = 1 + drift * minute * place
            said = buzz(2, (200 if place == 0 else 100) * change, 0.05 * change)
            samples[start * SAMPLE_RATE : (start + 2) * SAMPLE_RATE] = said
            lines.append(Line(who, start, start + 2))
    return samples, lines


def test_minutes_have_the_pitch_and_the_level_of_each_speaker() -> None:
    samples, lines = talk(0.0)
    found = by_minute(samples, lines, embed)
    assert [(one.speaker, one.minute) for one in found[:4]] == [("ann", 0), ("bob", 0), ("ann", 1), ("bob", 1)]
    assert len(found) == 10
    for one in found:
        assert one.pitch == pytest.approx(200 if one.speaker == "ann" else 100, rel=0.01)
        assert one.similarity == pytest.approx(1, abs=1e-3)
        assert one.seconds == 2
    assert np.ptp([one.dbfs for one in found]) < 1.0


def test_who_drifts_is_told_from_who_does_not(tmp_path: Path) -> None:
    samples, lines = talk(0.02)
    write_audio(tmp_path / "talk.wav", samples, SAMPLE_RATE)
    report = {"spoken": [vars(line) for line in lines]}
    (tmp_path / "talk.wav.report.json").write_text(json.dumps(report))
    found = evaluate_long_form(tmp_path / "talk.wav", embed)
    rise = 12 * np.log2(1.08) / 0.4
    assert found.drift["bob"]["semitones"] == pytest.approx(rise, rel=0.1)
    assert found.drift["bob"]["dB"] == pytest.approx(20 * np.log10(1.08) / 0.4, rel=0.1)
    assert found.drift["bob"]["similarity"] < -0.01
    assert abs(found.drift["ann"]["semitones"]) < 0.05
    assert abs(found.drift["ann"]["similarity"]) < 1e-6
    assert "bob, change in ten minutes: similarity -0.0" in as_text(found)


def test_a_joint_that_clicks_stands_out() -> None:
    """Lines that fade in and out have silent ends; a line that is cut in its middle has not."""
    said, pause = buzz(4, 150), np.zeros(SAMPLE_RATE, np.float32)
    found = {}
    for name, part in (("whole", said), ("cut", said[SAMPLE_RATE : 3 * SAMPLE_RATE])):
        samples = np.concatenate([pause, part, pause, part, pause])
        length = len(part) / SAMPLE_RATE
        found[name] = measure_joints(samples, [Line("a", 1, 1 + length), Line("a", 2 + length, 2 + 2 * length)])
        assert found[name].count == 4
    assert found["cut"].median > 5 * found["whole"].median
    assert found["cut"].above == 1


def test_what_is_no_report_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"talk\.wav\.report\.json: no such file; `synthesize --script` writes it"):
        evaluate_long_form(tmp_path / "talk.wav", embed)
    for content in ("{}", '{"spoken": [{"speaker": "a"}]}', "[]"):
        (tmp_path / "r.json").write_text(content)
        with pytest.raises(InputError, match="is not the report of a spoken script"):
            read_lines(tmp_path / "r.json")
    (tmp_path / "r.json").write_text('{"spoken": []}')
    with pytest.raises(InputError, match="has no lines"):
        read_lines(tmp_path / "r.json")
