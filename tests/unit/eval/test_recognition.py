"""Recognizers beside each other on the same recordings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("jiwer")
pytest.importorskip("soundfile")

from eval import recognizers
from eval.recognition import RecognitionSettings, evaluate_recognition
from eval.report import as_text
from latent.audio.files import Samples, write_audio
from s2s.errors import InputError

TEXTS = ("tea for the reader", "good morning", "please hold the line")


class Stub:
    """Hears the texts one after the other, without the first word of some."""

    def __init__(self, dropped: int) -> None:
        self.signature, self._texts = f"stub {dropped}", iter(TEXTS)
        self._dropped = dropped

    def __call__(self, samples: Samples) -> str:
        self._dropped -= 1
        words = next(self._texts).split()
        return " ".join(words[1:] if self._dropped >= 0 else words)


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, dropped in (("good", 0), ("bad", 3)):
        monkeypatch.setitem(recognizers.RECOGNIZERS, name, lambda model, language, dropped=dropped: Stub(dropped))
    lines = []
    for index, text in enumerate(TEXTS):
        write_audio(tmp_path / f"{index}.wav", np.zeros(1600, np.float32), 16000)
        lines.append(json.dumps({"id": str(index), "audio": f"{index}.wav", "text": text}))
    (tmp_path / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    return str(tmp_path / "manifest.jsonl")


def test_word_errors_of_each_and_the_paired_difference(manifest: str, tmp_path: Path) -> None:
    settings = RecognitionSettings(baseline="bad", transcripts=str(tmp_path / "heard.jsonl"))
    report = evaluate_recognition(manifest, {"good": "good", "bad": "bad"}, settings)
    scores = {system.name: system.quality["WER %"] for system in report.systems}
    assert scores["good"] is not None
    assert scores["good"].value == 0
    assert scores["bad"] is not None
    assert scores["bad"].value == pytest.approx(100 * 3 / 10)
    (comparison,) = report.comparisons
    difference = comparison.differences["WER %"]
    assert difference is not None
    assert difference.value == pytest.approx(-30)
    assert difference.high < 0
    heard = [json.loads(line) for line in (tmp_path / "heard.jsonl").read_text().splitlines()]
    assert heard[3] == {"system": "bad", "id": "0", "text": TEXTS[0], "heard": "for the reader"}
    assert "processor time" in as_text(report)


def test_a_baseline_must_be_one_of_them(manifest: str) -> None:
    with pytest.raises(InputError, match="--baseline: must be one of good, bad, found 'best'"):
        evaluate_recognition(manifest, {"good": "good", "bad": "bad"}, RecognitionSettings(baseline="best"))
