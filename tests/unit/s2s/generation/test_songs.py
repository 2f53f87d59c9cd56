"""Songs: composed line by line with a trained run, as sound, as a picture and as JSON lines."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import numpy as np
import pytest
from tiny_melodies import write_tunes

from s2s.data.melody import num_syllables, read_notes, syllables_of
from s2s.data.song import Line, Song
from s2s.errors import InputError
from s2s.generation.composing import compose, read_lyrics
from s2s.generation.generator import Generator
from s2s.generation.singing import SAMPLE_RATE, render
from s2s.generation.song_files import check_outputs, read_song, write_song
from s2s.run import parse_config, train_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("melodies")
    tunes = str(write_tunes(folder / "tunes.jsonl", 6))
    task = {"name": "melody_from_lyrics", "train": tunes, "valid": tunes, "max_notes": 24}
    model = {"hidden_size": 16, "num_heads": 2, "encoder_layers": 1, "decoder_layers": 1, "intermediate_size": 16}
    train = {"max_steps": 2, "max_sentences": 8, "max_tokens": 4096, "workers": 0, "device": "cpu", "log_every": 1}
    train_run(parse_config({"task": task, "model": model, "train": train}), folder / "run")
    (folder / "tunes.jsonl").unlink()  # a run needs its folder alone
    return folder / "run"


def song_of(text: str, tempo: float = 120.0) -> Song:
    notes = read_notes(text, "here")
    return Song([Line(["la"] * num_syllables(notes), notes)], tempo)


def test_a_song_has_the_syllables_of_its_lyrics_and_is_the_same_each_time(run: Path, tmp_path: Path) -> None:
    (tmp_path / "lyrics.txt").write_text("Ah, vous di-rai-je ma-man\n\nce qui cau-se mon tour-ment\n")
    lyrics = read_lyrics(tmp_path / "lyrics.txt", None)
    generator = Generator.load(run, device="cpu")
    song = compose(generator, lyrics, 90)
    assert [line.syllables for line in song.lines] == [syllables_of(line, "here") for line in lyrics]
    assert [num_syllables(line.notes) for line in song.lines] == [7, 7]
    assert song == compose(generator, lyrics, 90)


def test_each_line_follows_the_notes_of_those_before(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = Generator.load(run, device="cpu")
    contexts: list[str] = []
    source = generator.task.source
    monkeypatch.setattr(
        generator.task, "source", lambda record, *more: contexts.append(record["context"]) or source(record, *more)
    )
    song = compose(generator, ["la la", "la la", "la la"], 90)
    before = [note for line in song.lines[:2] for note in line.notes]
    assert contexts[0] == ""
    assert read_notes(contexts[2], "here") == before


def test_lyrics_without_a_line_or_a_syllable_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n \n")
    with pytest.raises(InputError, match=r"a\.txt: holds no lyrics; expected a line of them on each line$"):
        read_lyrics(tmp_path / "a.txt", None)
    (tmp_path / "b.txt").write_text("la\n\n...\n")
    with pytest.raises(InputError, match=r"b\.txt:3: 'src' must hold syllables"):
        read_lyrics(tmp_path / "b.txt", None)


def test_a_line_that_is_too_long_for_the_run_is_named(run: Path) -> None:
    lines = ["Mond", " ".join(["la"] * 200)]
    with pytest.raises(InputError, match=r"^line 2 of the lyrics: has 200 syllables, more than task\.max_syllables="):
        compose(Generator.load(run, device="cpu"), lines, 90)


def test_words_are_divided_as_their_language_does(tmp_path: Path) -> None:
    pytest.importorskip("pyphen")
    (tmp_path / "a.txt").write_text("wonderful morning\n")
    assert read_lyrics(tmp_path / "a.txt", "en") == ["won- der- ful morn- ing"]
    with pytest.raises(InputError, match=r"--hyphenate: no hyphenation of 'xx' is known"):
        read_lyrics(tmp_path / "a.txt", "xx")


@pytest.mark.parametrize(("note", "hertz"), [("A4", 440.0), ("C4", 261.63)])
def test_a_note_sounds_at_its_pitch(note: str, hertz: float) -> None:
    sound = render(song_of(f"{note}:2", tempo=60))
    spectrum = np.abs(np.fft.rfft(sound[:SAMPLE_RATE] * np.hanning(SAMPLE_RATE)))
    assert abs(int(spectrum.argmax()) - hertz) < 3


def test_a_song_sounds_as_long_as_its_notes_and_rests_are_silent() -> None:
    sound = render(song_of("A4:1 R:1~A4:1", tempo=120))
    assert len(sound) == int((3 * 0.5 + 0.5) * SAMPLE_RATE)
    assert not sound[int(0.5 * SAMPLE_RATE) : int(1.0 * SAMPLE_RATE)].any()
    assert np.abs(sound).max() == pytest.approx(0.7, abs=1e-3)


def test_a_song_is_written_as_sound_picture_and_lines(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    song = song_of("A4:1 R:1~A4:1/2~B4:1/2", tempo=90)
    files = [tmp_path / name for name in ("song.wav", "song.png", "song.svg", "song.jsonl")]
    write_song(song, files)
    with wave.open(str(files[0])) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (SAMPLE_RATE, 1, 2)
    assert files[1].read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in files[2].read_bytes()
    assert json.loads(files[3].read_text()) == {"src": "la la", "tgt": "A4:1 R:1~A4:1/2~B4:1/2"}
    assert read_song(files[3], None) == song


def test_an_output_in_another_format_or_over_the_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"song\.mp3: the suffix must be one of \.mid, .*, found '\.mp3'"):
        check_outputs([tmp_path / "song.mp3"], [])
    (tmp_path / "a.jsonl").write_text("")
    with pytest.raises(InputError):
        check_outputs([tmp_path / "a.jsonl"], [tmp_path / "a.jsonl"])
