"""Songs in files: MIDI with lyrics, WAV, a picture, and JSON lines of lyrics and melodies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from s2s.data.jsonl import read_records, text_field
from s2s.data.melody import as_text, check_together, read_notes, syllables_of
from s2s.data.midi import read_midi, write_midi
from s2s.data.song import Line, Song
from s2s.durable import check_target, refuse_inputs, write_whole
from s2s.errors import InputError
from s2s.generation.piano_roll import write_piano_roll
from s2s.generation.singing import write_wav
from s2s.json_files import dump_json

TEMPO = 90.0
"""Beats per minute of songs whose file does not say it."""


def _write_lines(path: Path, song: Song) -> None:
    records = ({"src": " ".join(line.syllables), "tgt": as_text(line.notes)} for line in song.lines)
    write_whole(path, "".join(f"{dump_json(record)}\n" for record in records).encode())


WRITERS: dict[str, Callable[[Path, Song], None]] = {
    ".mid": write_midi,
    ".midi": write_midi,
    ".wav": write_wav,
    ".png": write_piano_roll,
    ".svg": write_piano_roll,
    ".jsonl": _write_lines,
}


def check_outputs(outputs: Iterable[Path], inputs: Sequence[Path]) -> None:
    """Raise InputError if a song cannot be written to one of these files, or if it is one of the inputs."""
    for path in outputs:
        if path.suffix.lower() not in WRITERS:
            raise InputError(f"{path}: the suffix must be one of {', '.join(WRITERS)}, found {path.suffix!r}")
        check_target(path)
        refuse_inputs(path, [str(one) for one in inputs])


def write_song(song: Song, outputs: Iterable[Path]) -> None:
    """Write a song to files, each in the format of its suffix."""
    for path in outputs:
        WRITERS[path.suffix.lower()](path, song)


def read_song(path: Path, tempo: float | None) -> Song:
    """The song in a MIDI file, or in JSON lines with src and tgt; InputError if it cannot be read."""
    if path.suffix.lower() in (".mid", ".midi", ".kar"):
        song = read_midi(path)
        return song if tempo is None else replace(song, beats_per_minute=tempo)
    lines = []
    for where, record in read_records(path):
        syllables = syllables_of(text_field(record, "src", where), where)
        notes = read_notes(text_field(record, "tgt", where), where)
        check_together(syllables, notes, where)
        lines.append(Line(syllables, notes))
    return Song(lines, TEMPO if tempo is None else tempo)
