"""Phrases for a synthetic teacher, and what it reads."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("soundfile")

from typer.testing import CliRunner

from data_prep.teacher_speech import phrases, read_aloud
from s2s.errors import InputError
from unilatent.commands.prepare import app

TEXTS = ["The tool reads a file, then it writes two others. Version 2 is slower! It is free", "Tools & toys"]

FLITE = """#!/usr/bin/env python3
import sys, wave
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
with wave.open(arguments["-o"], "wb") as file:
    file.setnchannels(1), file.setsampwidth(2), file.setframerate(16000)
    file.writeframes(bytes([0, 9, 0, 247]) * 800 * len(arguments["-t"]))
"""


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"src": text}) + "\n" for text in TEXTS))
    return path


@pytest.fixture
def flite(tmp_path: Path) -> Path:
    path = tmp_path / "flite"
    path.write_text(FLITE)
    path.chmod(0o755)
    return path


def told(path: Path, least: int, most: int, seed: int = 1) -> tuple[list[str], Counter[str]]:
    skipped: Counter[str] = Counter()
    return list(phrases([path], "src", (least, most), seed, lambda reason: skipped.update([reason]))), skipped


def test_phrases_are_runs_of_words_of_one_sentence_within_the_lengths(texts: Path) -> None:
    found, skipped = told(texts, 2, 3)
    assert found
    for phrase in found:
        assert 2 <= len(phrase.split()) <= 3
        assert any(phrase in text for text in TEXTS)
        assert not phrase.endswith(",")
    assert skipped == {"sentences with something else than words": 2}, "a number, a sign"
    assert len(set(found)) == len(found)


def test_the_seed_fixes_the_phrases(texts: Path) -> None:
    assert told(texts, 1, 4) == told(texts, 1, 4)
    assert any(told(texts, 1, 4) != told(texts, 1, 4, seed) for seed in range(2, 5))


def test_voices_read_in_turns(tmp_path: Path, flite: Path) -> None:
    spoken = list(read_aloud(["one", "two", "three"], ["slt", "rms"], tmp_path / "audio", str(flite), 2))
    assert [recording.speaker for recording in spoken] == ["flite_slt", "flite_rms", "flite_slt"]
    assert [recording.text for recording in spoken] == ["one", "two", "three"]
    assert all(recording.audio.is_file() for recording in spoken)


def test_a_missing_synthesizer_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--flite /nowhere/flite: cannot be started"):
        list(read_aloud(["one"], ["slt"], tmp_path, "/nowhere/flite", 1))


def test_the_verb_writes_a_corpus_without_a_test_set(texts: Path, flite: Path, tmp_path: Path) -> None:
    arguments = ["teacher-speech", texts, tmp_path / "out", "--field", "src", "--flite", flite, "--jobs", 1]
    result = CliRunner().invoke(app, [*map(str, arguments), "--min-words", "2", "--max-words", "4"])
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in (tmp_path / "out" / "train.jsonl").read_text().splitlines()]
    assert {line["speaker"] for line in lines} == {"flite_slt"}
    assert not (tmp_path / "out" / "test.jsonl").exists()
    assert "no recordings of people" in " ".join((tmp_path / "out" / "DATA_CARD.md").read_text().split())


def test_an_unknown_voice_is_refused(texts: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["teacher-speech", str(texts), str(tmp_path / "out"), "--voice", "joe"])
    assert isinstance(result.exception, InputError)
    assert "--voice: must be one of slt, rms, awb, kal16, found 'joe'" in str(result.exception)
