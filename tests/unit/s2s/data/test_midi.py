"""Songs as MIDI files: what is written is read again, and what is no song is refused in one line."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_melodies import generated_line

from s2s.data.melody import read_notes, syllables_of
from s2s.data.midi import read_midi, write_midi
from s2s.data.song import Line, Song
from s2s.errors import InputError

mido: Any = pytest.importorskip("mido")


def song_of(*lines: tuple[str, str]) -> Song:
    return Song([Line(syllables_of(words, "here"), read_notes(tune, "here")) for words, tune in lines], 100.0)


SONG = song_of(
    ("Twin-kle, twin-kle, lit-tle stär", "C4:1 C4:1/3 G4:2/3 G4:1 R:1/2~A4:1/2 A4:1~B4:1/4~A4:1/4 G4:2"),
    ("how I won-der", "F4:1 F4:1 E4:1 E4:3/2"),
)


def test_a_song_comes_back_from_its_file(tmp_path: Path) -> None:
    write_midi(tmp_path / "song.mid", SONG)
    read = read_midi(tmp_path / "song.mid")
    assert read.lines == SONG.lines
    assert read.beats_per_minute == pytest.approx(100, abs=1e-3)


def test_generated_songs_come_back_from_their_files(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for number in range(20):
        lines = [Line(["la"] * count, generated_line(generator, count)) for count in generator.integers(1, 9, 3)]
        lines[0].notes[:] = [note for note in lines[0].notes if note.pitch >= 0]  # silence before a song is not written
        for line in lines[1:]:
            line.notes[:] = [note for note in line.notes if note.pitch >= 0]
        write_midi(tmp_path / f"{number}.mid", Song(lines))
        assert read_midi(tmp_path / f"{number}.mid").lines == lines


def write(path: Path, messages: list[Any]) -> Path:
    file = mido.MidiFile(ticks_per_beat=480, charset="utf-8")
    file.tracks.append(mido.MidiTrack(messages))
    file.save(path)
    return path


def tone(pitch: int, ticks: int, wait: int = 0) -> list[Any]:
    return [
        mido.Message("note_on", note=pitch, velocity=64, time=wait),
        mido.Message("note_off", note=pitch, velocity=0, time=ticks),
    ]


def lyric(text: str) -> Any:
    return mido.MetaMessage("lyrics", text=text)


def test_karaoke_marks_begin_lines_and_long_rests_do_where_there_are_none(tmp_path: Path) -> None:
    marked = [lyric("\\Oh "), *tone(60, 480), lyric("say"), *tone(62, 480), lyric("/can"), *tone(64, 480)]
    assert [line.syllables for line in read_midi(write(tmp_path / "a.mid", marked)).lines] == [["Oh", "say"], ["can"]]
    plain = [lyric("Oh"), *tone(60, 480), lyric("say"), *tone(62, 480, 480), *tone(64, 480)]
    assert [line.notes for line in read_midi(write(tmp_path / "b.mid", plain)).lines] == [
        read_notes("C4:1 R:1~D4:1~E4:1", "here")
    ]
    late = [lyric("Oh"), *tone(60, 480), *[mido.MetaMessage("text", text="x", time=1440)], lyric("say"), *tone(62, 480)]
    assert len(read_midi(write(tmp_path / "c.mid", late)).lines) == 2


def test_an_event_is_one_syllable_and_one_without_letters_holds_the_tone_on(tmp_path: Path) -> None:
    texts = ("the a- ", "-", "Twin-kle ")
    messages = [message for text in texts for message in (lyric(text), *tone(60, 480))]
    (line,) = read_midi(write(tmp_path / "a.mid", messages)).lines
    assert line.syllables == ["the‿a-", "Twin‿kle"]
    assert line.notes == read_notes("C4:1~C4:1 C4:1", "here")
    assert syllables_of(" ".join(line.syllables), "here") == line.syllables


def test_of_tones_together_the_highest_is_sung(tmp_path: Path) -> None:
    messages = [lyric("Oh"), mido.Message("note_on", note=60, time=0), *tone(67, 480)]
    messages.append(mido.Message("note_off", note=60, time=0))
    assert read_midi(write(tmp_path / "a.mid", messages)).lines[0].notes == [(67, Fraction(1), True)]


@pytest.mark.parametrize("content", [b"", b"no MIDI", b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk\0\0\xff\xffbroken"])
def test_a_file_that_cannot_be_read_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mid").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.mid: cannot be read as a MIDI file: ") as raised:
        read_midi(tmp_path / "a.mid")
    assert "\n" not in str(raised.value)


def test_what_is_no_file_or_ends_too_early_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty.mid").touch()
    with pytest.raises(InputError, match=r"empty\.mid: cannot be read as a MIDI file: it is cut off, or empty"):
        read_midi(tmp_path / "empty.mid")
    with pytest.raises(InputError, match=r"none\.mid: cannot be read: No such file or directory$"):
        read_midi(tmp_path / "none.mid")


def test_a_truncated_song_is_refused(tmp_path: Path) -> None:
    write_midi(tmp_path / "song.mid", SONG)
    content = (tmp_path / "song.mid").read_bytes()
    for size in range(0, len(content), 7):
        (tmp_path / "cut.mid").write_bytes(content[:size])
        with pytest.raises(InputError):
            read_midi(tmp_path / "cut.mid")


def test_a_file_without_lyrics_or_notes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.mid: has no lyrics; expected a lyric event at each syllable$"):
        read_midi(write(tmp_path / "a.mid", tone(60, 480)))
    with pytest.raises(InputError, match=r"b\.mid: has no notes under its lyrics$"):
        read_midi(write(tmp_path / "b.mid", [lyric("Oh")]))
