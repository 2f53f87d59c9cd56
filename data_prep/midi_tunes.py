"""Tunes from MIDI files with lyrics; a file whose key is written in it is moved to C major or A minor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from data_prep.melodies import Tune, refusal
from data_prep.melodies import write as write_tunes
from s2s.data.melody import NUM_PITCHES, REST, Note
from s2s.data.midi import open_midi, read_midi
from s2s.data.song import Line
from s2s.durable import refuse_inputs
from s2s.errors import InputError

_SUFFIXES = (".mid", ".midi", ".kar")
_ABOUT = (
    "Lines of songs from MIDI files with lyrics. Files that say their key were moved to C major or A minor.\n"
    "Melodies that share more than 15 % of their runs of six intervals are one family, and a family is in one split."
)
_TONICS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


def write(folder: Path, files: Path) -> str:
    """Write the tunes of a folder of MIDI files as a corpus; returns its summary.

    Raises:
        InputError: the folder has no such file, or one cannot be read; or mido is not installed.
    """
    if not files.is_dir():
        raise InputError(f"{files}: no such folder; expected one of MIDI files")
    paths = sorted(path for path in files.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if not paths:
        raise InputError(f"{files}: holds no MIDI file ({', '.join(_SUFFIXES)})")
    refuse_inputs(str(folder), [str(path) for path in paths])
    skipped: Counter[str] = Counter()
    tunes = [tune for path in paths for tune in _tune(path, str(path.relative_to(files).with_suffix("")), skipped)]
    return write_tunes(folder, "Tunes", [_ABOUT], tunes, skipped)


def _tune(path: Path, name: str, skipped: Counter[str]) -> Iterator[Tune]:
    steps = _steps_to_c(path)
    lines = []
    for line in read_midi(path).lines:
        moved = Line(line.syllables, [_moved(note, steps) for note in line.notes])
        if reason := refusal(moved):
            skipped[reason] += 1
        else:
            lines.append(moved)
    if lines:
        yield Tune(name, name, lines)


def _moved(note: Note, steps: int) -> Note:
    return note if note.pitch == REST else note._replace(pitch=min(max(note.pitch + steps, 0), NUM_PITCHES - 1))


def _steps_to_c(path: Path) -> int:
    """Semitones from the key of a file to C major or A minor, from -6 to 5; 0 if it does not say its key."""
    messages = (message for track in open_midi(path).tracks for message in track)
    key = next((message.key for message in messages if message.type == "key_signature"), "C")
    tonic = _TONICS[key[0]] + key.count("#") - key[1:].count("b")
    return ((9 if key.endswith("m") else 0) - tonic + 6) % 12 - 6
