"""Tunes as a corpus: families, lines that are left out, hymns and MIDI files."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from data_prep import hymns, melodies, midi_tunes
from data_prep.melodies import Tune, families, refusal
from s2s.data.melody import REST, Note, as_text, read_notes
from s2s.data.midi import write_midi
from s2s.data.song import Line, Song
from s2s.errors import InputError

FIRST = "C4:1 D4:1 E4:1 C4:1 G4:1 A4:1 F4:1 D4:1 B3:1 C4:1"
OTHER = "C4:1 C4:1 D4:1 F4:1 E4:1 C4:1 A4:1 G4:1 E4:1 C4:1"


def line_of(tune: str) -> Line:
    notes = read_notes(tune, "here")
    return Line(["la"] * sum(note.ends_syllable for note in notes), notes)


def moved(tune: str, steps: int) -> str:
    return as_text(note._replace(pitch=note.pitch + steps) for note in read_notes(tune, "here"))


def tune_of(name: str, *lines: str) -> Tune:
    return Tune(f"{name}v1", name, [line_of(line) for line in lines])


def test_variants_in_another_key_and_with_ornaments_are_one_family() -> None:
    ornamented = FIRST.replace("E4:1", "E4:1/2~F4:1/2")
    found = families(
        [tune_of("b", FIRST), tune_of("c", OTHER), tune_of("a", moved(FIRST, 5)), tune_of("d", ornamented, OTHER)]
    )
    assert found["b"] == found["a"] == found["d"] == found["c"] == "a", "d has both tunes, and joins their families"
    assert len(set(families([tune_of("b", FIRST), tune_of("c", OTHER)]).values())) == 2


def test_a_family_is_in_one_split(tmp_path: Path) -> None:
    tunes = [tune_of(f"t{number}", moved(FIRST if number % 2 else OTHER, number % 5)) for number in range(20)]
    melodies.write(tmp_path, "Tunes", ["made"], tunes, {})
    splits: dict[str, set[str]] = {}
    for path in tmp_path.glob("*.jsonl"):
        for text in path.read_text().splitlines():
            splits.setdefault(json.loads(text)["family"], set()).add(path.name)
    assert len(splits) == 2
    assert all(len(names) == 1 for names in splits.values())


def test_records_hold_the_notes_of_the_lines_before(tmp_path: Path) -> None:
    melodies.write(tmp_path, "Tunes", ["made"], [tune_of("t", FIRST, OTHER)], {"lines without lyrics": 2})
    records = [json.loads(text) for path in tmp_path.glob("*.jsonl") for text in path.read_text().splitlines()]
    assert [record["context"] for record in records] == ["", FIRST]
    assert records[1]["tgt"] == OTHER
    assert records[1]["src"] == "la la la la la la la la la la"
    assert "2 lines without lyrics" in (tmp_path / "DATA_CARD.md").read_text()


def test_lines_whose_end_or_lyrics_are_missing_are_left_out() -> None:
    assert refusal(line_of(FIRST)) is None
    assert refusal(Line([], [])) == "lines without lyrics"
    assert str(refusal(line_of("C4:1 " * 41))).startswith("lines of more than 40 notes")
    assert str(refusal(line_of("C4:1~" * 8 + "C4:1"))).startswith("lines with more than 8 notes of a syllable")


def event(pitch: int, ends: bool = False, **verses: str) -> tuple[Note, bool, dict[int, tuple[str, str]]]:
    """A note of a hymn; a syllable ends in a hyphen if its word goes on."""
    places = {
        int(key[1:]): (text.rstrip("-"), "begin" if text.endswith("-") else "end") for key, text in verses.items()
    }
    return Note(pitch, Fraction(1), False), ends, places


def test_a_fermata_ends_a_line_and_notes_without_a_syllable_go_on_with_the_one_before() -> None:
    events = [
        event(60, v1="Aus", v2="in-"),
        event(62),
        event(REST),
        event(64, ends=True, v1="mei-", v2="die"),
        event(65, v2="o"),
        event(67, ends=True, v2="Gott"),
    ]
    first, second = list(hymns._lines(events, 1)), list(hymns._lines(events, 2))
    assert first[1] is None, "the first verse does not sing this line"
    assert first[0] == Line(["Aus", "mei-"], read_notes("C4:1~D4:1 R:1~E4:1", "here"))
    assert [line.syllables for line in second if line] == [["in-", "die"], ["o", "Gott"]]


def test_a_line_that_begins_without_a_syllable_is_left_out() -> None:
    assert list(hymns._lines([event(60), event(62, ends=True, v1="Aus")], 1)) == [None]


def test_midi_files_become_a_corpus_in_c_major(tmp_path: Path) -> None:
    mido = pytest.importorskip("mido")
    (tmp_path / "files").mkdir()
    write_midi(tmp_path / "files" / "a.mid", Song([line_of(moved(FIRST, -5)), line_of(moved(OTHER, -5))]))
    file = mido.MidiFile(tmp_path / "files" / "a.mid")
    file.tracks[0].insert(0, mido.MetaMessage("key_signature", key="G"))
    file.save(tmp_path / "files" / "a.mid")
    midi_tunes.write(tmp_path / "out", tmp_path / "files")
    (made,) = (tmp_path / "out").glob("*.jsonl")
    records = [json.loads(text) for text in made.read_text().splitlines()]
    assert [record["tgt"] for record in records] == [FIRST, OTHER]


def test_a_folder_without_midi_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no MIDI file \(\.mid, \.midi, \.kar\)$"):
        midi_tunes.write(tmp_path / "out", tmp_path)
    with pytest.raises(InputError, match=r"none: no such folder; expected one of MIDI files$"):
        midi_tunes.write(tmp_path / "out", tmp_path / "none")


def test_a_broken_midi_file_is_refused_by_name(tmp_path: Path) -> None:
    pytest.importorskip("mido")
    (tmp_path / "a.mid").write_text("no")
    with pytest.raises(InputError, match=r"a\.mid: cannot be read as a MIDI file: "):
        midi_tunes.write(tmp_path / "out", tmp_path)
