"""A recognizer on a pretrained encoder, by the commands of its guide: from recordings to scores, on tiny weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import error_of, unilatent
from tiny_encoder import write_whisper

pytest.importorskip("soundfile")
pytest.importorskip("jiwer")
from tiny_voice import write_recordings

SMALLER = ("train.max_steps=1", "train.workers=0", "model.hidden_size=16", "model.num_layers=1", "model.num_heads=2")


def test_recordings_become_a_recognizer_that_is_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    manifest = write_recordings(Path("recordings"), 16000)
    write_whisper(Path("encoders/tiny"))
    for split in ("train", "valid"):
        unilatent("encode", manifest, "--tokenizer", "encoders/tiny", "--stack", 2, "--output", f"data/heard/{split}")
    unilatent("train", "speech_recognition_pretrained", "--output", "runs/recognizer", *SMALLER)
    texts = [f"decoder.texts={manifest}", "decoder.name=ctc_ngrams"]
    unilatent("evaluate", "recognition", manifest, *texts, "--recognizer", "runs/recognizer", "--json", "scores.json")
    assert json.loads(Path("scores.json").read_text())["systems"][0]["quality"]["WER %"]["value"] >= 0
    unilatent("transcribe", "runs/recognizer", *texts, "--input", "recordings", "--output", "heard.jsonl")
    heard = [json.loads(line) for line in Path("heard.jsonl").read_text().splitlines()]
    assert len(heard) == len(manifest.read_text().splitlines())

    Path("encoders").rename("elsewhere")
    again = ("transcribe", "runs/recognizer", "--input", "recordings", "--output", "again.jsonl")
    expected = (
        "error: runs/recognizer: needs its speech encoder, say where it is with --tokenizer: encoders/tiny: no such"
    )
    assert error_of(*again).startswith(expected)
    unilatent(*again, "--tokenizer", "elsewhere/tiny")
