"""The task of melodies from lyrics: records that it reads, and those that it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from s2s.errors import InputError
from s2s.tasks.melody_from_lyrics import MelodyFromLyrics

GOOD = {"id": "a", "src": "Twin-kle star", "tgt": "C4:1 R:1~C4:1/2~D4:1/2 G4:2", "context": "C4:1 D4:1"}


def task_of(folder: Path, *records: dict[str, Any], **options: Any) -> MelodyFromLyrics:
    (folder / "tunes.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return MelodyFromLyrics(MelodyFromLyrics.Config(train=str(folder / "tunes.jsonl"), **options))


def test_a_record_becomes_letters_streams_and_context(tmp_path: Path) -> None:
    task = task_of(tmp_path, GOOD)
    example = task.dataset("train", 0).example(0, 0)
    assert example.source.num_syllables == 3
    assert example.notes.tolist() == [[61, 1, 1], [0, 1, 0], [61, 0, 0], [63, 0, 1], [68, 2, 1]]
    assert example.source.context.tolist() == [[61, 1, 1], [63, 1, 1]]
    batch = task.collate([example, example])
    assert batch.num_tokens == 10


def test_of_a_long_context_the_end_is_read(tmp_path: Path) -> None:
    task = task_of(tmp_path, GOOD, max_notes=5)
    source = task.source({"src": "la", "context": "C4:1 " * 7 + "G4:1"}, "here:1", "1")
    assert source.context[:, 0].tolist() == [61, 61, 61, 61, 68]
    assert (source.num_cut, source.id) == (3, "1")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"src": "..."}, "'src' must hold syllables, such as 'Twin-kle twin-kle', found '...'"),
        ({"src": ""}, "'src' is empty"),
        ({"tgt": "C4:1 C4:1"}, "'tgt' must have as many syllables as 'src', 3, found 2"),
        ({"tgt": "C4:1 C4:1 x"}, "'tgt': a note is PITCH:BEATS, such as C#4:3/2 or R:1, found 'x'"),
        ({"context": "C4"}, "'context': a note is PITCH:BEATS, such as C#4:3/2 or R:1, found 'C4'"),
        ({"context": 5}, "'context' must be a melody, such as 'C4:1 D4:1/2~E4:1/2', found 5"),
        ({"src": "la " * 9, "tgt": "C4:1 " * 9}, "has 9 syllables, more than task.max_syllables=8"),
        ({"tgt": "C4:1 C4:1 " + "C4:1~" * 9 + "C4:1"}, "has 12 notes, more than task.max_notes=10"),
    ],
)
def test_a_bad_record_is_refused_with_its_place(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    task = task_of(tmp_path, GOOD, GOOD | changed, max_syllables=8, max_notes=10)
    with pytest.raises(InputError) as raised:
        task.dataset("train", 0)
    assert str(raised.value) == f"{tmp_path / 'tunes.jsonl'}:2: {message}"


def test_tokens_have_no_names(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'C4': cannot be named, notes have no tokens of their own"):
        task_of(tmp_path, GOOD).token_id("C4")
