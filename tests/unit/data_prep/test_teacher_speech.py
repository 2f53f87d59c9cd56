"""Texts for a synthetic teacher, who reads what, and a corpus that a kill does not change."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

pytest.importorskip("soundfile")

from data_prep.speech_corpus import SpeechOptions
from data_prep.teacher_speech import STRANGERS, Casting, phrases, readable, texts_of, write_teacher_speech
from data_prep.teachers.flite import Flite
from data_prep.teachers.teacher import Speech, Teacher, Unreadable
from latent.data.manifest import Sounding, read_manifest
from s2s.errors import InputError
from unilatent.commands.prepare import app

TEXTS = ["The tool reads a file, then it writes two others. Version 2 is slower! It is free", "Tools & toys"]
PERCENTS = {"test": 20, "valid": 20, STRANGERS: 20}
OPTIONS = SpeechOptions(8000, min_seconds=0.05, min_characters_per_second=0.1, max_characters_per_second=1e9, jobs=1)

FLITE = """#!/usr/bin/env python3
import sys, wave
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
with wave.open(arguments["-o"], "wb") as file:
    file.setnchannels(1), file.setsampwidth(2), file.setframerate(16000)
    file.writeframes(bytes([0, 9, 0, 247]) * 800 * len(arguments["-t"]))
"""


class Killed(BaseException):
    """Ends a job as a signal would, at any place."""


@dataclass(frozen=True)
class Hummer(Teacher):
    """Hums a note for each letter; it cannot read the letter q, and ends after `breath` texts."""

    breath: list[int]
    pitch: float = 0.3

    title, about, license = "Humming", "Notes.", "Public domain."
    sample_rate = 8000
    voices = ("ann", "bob", "cid")
    default_voices = ("ann", "bob")
    default_held_out = ("cid",)

    def speaker(self, voice: str) -> str:
        return voice

    def identity(self) -> Mapping[str, object]:
        return {"pitch": self.pitch}

    def read(self, text: str, voice: str) -> Speech:
        if not self.breath[0]:
            raise Killed
        self.breath[0] -= 1
        if "q" in text:
            raise Unreadable("with a q")
        times = np.arange(800 * len(text))
        note = (0.3 * np.sin(times * (self.pitch + ord(voice[0]) / 400))).astype(np.float32)
        return Speech(note, (Sounding("/HM1", 0.0, len(text) / 10),))


def many(count: int) -> list[str]:
    return [f"text {'abcdefghij'[number % 10]} {'klmnoqrstuvwxyz'[number // 10]}" for number in range(count)]


def made(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def hum(folder: Path, texts: list[str], *, breath: int = 1000, hours: float | None = None, pitch: float = 0.3) -> str:
    casting = Casting.of(Hummer, None, None, PERCENTS)
    return write_teacher_speech(Hummer([breath], pitch), casting, texts, folder, OPTIONS, hours, Counter())


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


def told(least: int, most: int, seed: int = 1) -> tuple[list[str], Counter[str]]:
    skipped: Counter[str] = Counter()
    return list(phrases(TEXTS, (least, most), seed, lambda reason: skipped.update([reason]))), skipped


def test_phrases_are_runs_of_words_of_one_sentence_within_the_lengths() -> None:
    found, skipped = told(2, 3)
    assert found
    for phrase in found:
        assert 2 <= len(phrase.split()) <= 3
        assert any(phrase in text for text in TEXTS)
        assert not phrase.endswith(",")
    assert skipped == {"sentences with something else than words": 2}, "a number, a sign"


def test_the_seed_fixes_the_phrases() -> None:
    assert told(1, 4) == told(1, 4)
    assert any(told(1, 4) != told(1, 4, seed) for seed in range(2, 5))


def test_texts_are_read_as_they_are_spoken_once_and_never_if_they_are_held_out() -> None:
    skipped: Counter[str] = Counter()
    written = ["It costs $5.", "It costs five dollars!", "...", "I know: go home now. Bye.", "Go home nowhere."]
    found = readable(written, "en", ["Go home NOW!"], lambda reason: skipped.update([reason]))
    assert list(found) == [("It costs $5.", "It costs five dollars."), ("Go home nowhere.", "Go home nowhere.")]
    assert skipped == {"texts that came before": 1, "without a word": 1, "texts with a sentence that is held out": 1}


@given(st.lists(st.text(min_size=1), unique=True), st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_strangers_read_their_own_texts_and_voices_take_turns(
    lines: list[str], test: int, valid: int, strangers: int
) -> None:
    casting = Casting(["a", "b"], ["x"], {"test": test, "valid": valid, STRANGERS: strangers})
    turns = list(casting.turns(lines))
    assert [turn.text for turn in turns] == lines
    assert all((turn.voice == "x") == (turn.split == STRANGERS) for turn in turns)
    others = [turn.voice for turn in turns if turn.split != STRANGERS]
    assert others == [["a", "b"][index % 2] for index in range(len(others))]


@pytest.mark.parametrize(
    ("voices", "held_out", "message"),
    [
        (["joe"], None, "--voice: must be one of ann, bob, cid, found 'joe'"),
        (None, ["joe"], "--hold-out-voice: must be one of ann, bob, cid, found 'joe'"),
        (["ann"], ["ann"], "--hold-out-voice ann: is also a --voice"),
    ],
)
def test_voices_must_exist_and_be_on_one_side(voices: list[str], held_out: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Casting.of(Hummer, voices, held_out, PERCENTS)
    assert Casting.of(Hummer, ["cid"], None, PERCENTS).held_out == []


class Choir(Hummer):
    """Hums in two voices at once."""

    mixes = True


@given(st.integers(0, 3), st.integers(0, 3))
def test_mixtures_are_pairs_of_the_voices_and_more_of_them_add_to_fewer(fewer: int, more: int) -> None:
    names = ["ann", "bob", "cid"]
    few, many_voices = (Casting.of(Choir, names, [], PERCENTS, count).voices for count in sorted((fewer, more)))
    assert many_voices[: len(few)] == few
    assert len(set(many_voices)) == 3 + max(fewer, more)
    assert all(set(voice.split("+")) < set(names) for voice in many_voices[3:])


def test_only_a_teacher_that_mixes_takes_mixtures() -> None:
    assert Casting.of(Choir, ["ann+cid"], [], PERCENTS).voices == ["ann+cid"]
    with pytest.raises(InputError, match="--voice: must be one of ann, bob, cid, found 'ann\\+joe'"):
        Casting.of(Choir, ["ann+joe"], [], PERCENTS)
    with pytest.raises(InputError, match="--voice: must be one of ann, bob, cid, found 'ann\\+bob'"):
        Casting.of(Hummer, ["ann+bob"], [], PERCENTS)
    with pytest.raises(InputError, match="--mixtures: must be at most 0 for 2 voices of this teacher, found 1"):
        Casting.of(Hummer, None, None, PERCENTS, 1)
    with pytest.raises(InputError, match="--mixtures: must be at most 1 for 2 voices of this teacher, found 2"):
        Casting.of(Choir, None, None, PERCENTS, 2)


def test_a_corpus_has_four_manifests_alignments_and_what_was_left_out(tmp_path: Path) -> None:
    summary = hum(tmp_path / "out", many(150))
    assert "skipped 10 texts with a q" in summary
    texts_seen: list[str] = []
    for split in ("train", "valid", "test", STRANGERS):
        lines = read_manifest(tmp_path / "out" / f"{split}.jsonl")
        texts_seen += [line.text for line in lines]
        assert {line.speaker for line in lines} == ({"cid"} if split == STRANGERS else {"ann", "bob"})
        assert all(line.alignment == (Sounding("/HM1", 0.0, len(line.text) / 10),) for line in lines)
    assert sorted(texts_seen) == sorted(text for text in many(150) if "q" not in text)
    assert "# Humming" in (tmp_path / "out/DATA_CARD.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("hours", [None, 0.005])
def test_a_job_that_is_killed_again_and_again_ends_as_one_that_never_stopped(
    tmp_path: Path, hours: float | None
) -> None:
    summary = hum(tmp_path / "whole", many(40), hours=hours)
    for _ in range(20):
        try:
            again = hum(tmp_path / "killed", many(40), breath=7, hours=hours)
            break
        except Killed:
            (tmp_path / "killed/audio/ann").mkdir(parents=True, exist_ok=True)
            (tmp_path / "killed/audio/ann/.000039.flac.part.wav").write_bytes(b"cut off")
    assert again == summary.replace("whole", "killed")
    assert made(tmp_path / "killed") == made(tmp_path / "whole")


def test_a_torn_journal_costs_one_text(tmp_path: Path) -> None:
    hum(tmp_path, many(9))
    before = made(tmp_path)
    journal = tmp_path / ".teacher.journal"
    journal.write_bytes(journal.read_bytes()[:-5])
    with pytest.raises(Killed):
        hum(tmp_path, many(9), breath=0)
    hum(tmp_path, many(9), breath=1)
    assert made(tmp_path) == before


def test_a_longer_corpus_goes_on_with_a_shorter_one_and_back(tmp_path: Path) -> None:
    hum(tmp_path, many(30), hours=0.002)
    short = made(tmp_path)
    texts_read = len(short[".teacher.journal"].splitlines()) - 1
    hum(tmp_path, many(30), breath=30 - texts_read)
    assert len(made(tmp_path)) > len(short)
    hum(tmp_path, many(30), breath=0, hours=0.002)
    assert made(tmp_path) == short, "what lies beyond the end is removed"


def test_changed_texts_are_read_again_and_another_teacher_is_refused(tmp_path: Path) -> None:
    hum(tmp_path, many(9))
    hum(tmp_path, ["something else", *many(9)[1:]], breath=1)
    assert "something else" in (tmp_path / ".teacher.journal").read_text(encoding="utf-8")
    with pytest.raises(InputError, match=r"belongs to another job \(teacher.pitch was 0.3, is now 0.5\); remove"):
        hum(tmp_path, many(9), pitch=0.5)


def test_nothing_to_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no text to read; skipped none, there was none"):
        hum(tmp_path, [])


def test_processes_do_not_change_the_corpus(flite: Path, tmp_path: Path) -> None:
    casting = Casting.of(Flite, ["slt", "rms"], None, PERCENTS)
    for name, jobs in {"one": 1, "two": 2}.items():
        options = SpeechOptions(16000, min_characters_per_second=0.1, max_characters_per_second=1e9, jobs=jobs)
        write_teacher_speech(Flite(str(flite)), casting, many(12), tmp_path / name, options, 0.002, Counter())
    assert made(tmp_path / "one") == made(tmp_path / "two")


def test_flite_names_its_voices_and_a_missing_program_is_one_line(flite: Path) -> None:
    assert Flite(str(flite)).speaker("slt") == "flite_slt"
    assert len(Flite(str(flite)).read("hello", "slt").samples) == 16000 * 5 * 800 * 2 // 16000
    with pytest.raises(InputError, match="--flite /nowhere/flite: cannot be started"):
        Flite("/nowhere/flite").read("one", "slt")


def test_the_verb_cuts_phrases_for_flite(texts: Path, flite: Path, tmp_path: Path) -> None:
    arguments = ["teacher-speech", texts, tmp_path / "out", "--teacher", "flite", "--flite", flite, "--field", "src"]
    limits = ["--jobs", 1, "--min-words", 2, "--max-words", 4, "--valid-percent", 0, "--test-percent", 0]
    result = CliRunner().invoke(app, [*map(str, [*arguments, *limits])])
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in (tmp_path / "out" / "train.jsonl").read_text().splitlines()]
    assert {line["speaker"] for line in lines} == {"flite_slt"}
    assert all(2 <= len(line["text"].split()) <= 4 for line in lines)
    assert not (tmp_path / "out" / "test.jsonl").exists()
    assert "no recordings of people" in " ".join((tmp_path / "out" / "DATA_CARD.md").read_text().split())


def test_a_line_without_a_text_is_refused(texts: Path) -> None:
    with pytest.raises(InputError, match=r"texts.jsonl:1: 'text' must be a string, found None"):
        list(texts_of([texts], "text"))
