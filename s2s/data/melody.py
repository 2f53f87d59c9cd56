"""Sung melodies as text: a line of lyrics in syllables, and the notes of each syllable.

    src   Twin-kle twin-kle lit-tle star
    tgt   C4:1 C4:1 G4:1 G4:1 A4:1 A4:1 G4:3/2~F4:1/2

Blanks divide the syllables of a melody, as blanks and hyphens divide those of its lyrics; `~` joins the notes of one
syllable. A note is its pitch (60 is C4) or `R`, a rest, and its length in beats. A rest belongs to the syllable after
it, so the last note of a syllable always sounds, and the melody says by itself which note belongs to which syllable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

from s2s.errors import InputError, shown

REST = -1
"""The pitch of a rest."""
NUM_PITCHES = 128
"""Those of MIDI."""
LONGEST = 64
"""Most beats of one note."""
FINEST = 96
"""Greatest denominator of a length in beats."""

_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_NOTE = re.compile(r"(?:(R)|([A-G])([#b]?)(-?\d{1,2})):(\d{1,3})(?:/(\d{1,3}))?", re.ASCII)


class Note(NamedTuple):
    """One note or rest."""

    pitch: int
    """MIDI number, or `REST`."""
    beats: Fraction
    ends_syllable: bool
    """Whether the next note begins another syllable."""


def syllables_of(lyrics: str | Sequence[str], where: str) -> list[str]:
    """The syllables of a line; one that its word goes on after ends in a hyphen.

    Raises:
        InputError: there is none.
    """
    words = lyrics.split() if isinstance(lyrics, str) else [word for part in lyrics for word in part.split()]
    found = [part for word in words for part in re.findall(r"[^-]+-?", word)]
    if not (kept := [part for part in found if any(character.isalnum() for character in part)]):
        raise InputError(f"{where}: 'src' must hold syllables, such as 'Twin-kle twin-kle', found {shown(lyrics)}")
    return kept


def note_name(pitch: int) -> str:
    """The name of a MIDI number, such as C#4 for 61."""
    return "R" if pitch == REST else f"{_NAMES[pitch % 12]}{pitch // 12 - 1}"


def as_text(notes: Iterable[Note]) -> str:
    """A melody as text."""
    return "".join(
        f"{note_name(note.pitch)}:{note.beats}{' ' if note.ends_syllable else '~'}" for note in notes
    ).strip()


def read_notes(text: object, where: str, field: str = "tgt") -> list[Note]:
    """The notes of a melody as text; an empty one has none.

    Raises:
        InputError: it is not such a text, or a syllable ends in a rest.
    """
    if not isinstance(text, str):
        raise InputError(f"{where}: {field!r} must be a melody, such as 'C4:1 D4:1/2~E4:1/2', found {shown(text)}")
    notes: list[Note] = []
    for syllable in text.split():
        written = syllable.split("~")
        notes += [_note(note, number == len(written), where, field) for number, note in enumerate(written, start=1)]
        if notes[-1].pitch == REST:
            raise InputError(f"{where}: {field!r}: a rest belongs to the syllable after it, found {shown(syllable)}")
    return notes


def _note(written: str, ends_syllable: bool, where: str, field: str) -> Note:
    found = _NOTE.fullmatch(written)
    if found is None:
        raise InputError(f"{where}: {field!r}: a note is PITCH:BEATS, such as C#4:3/2 or R:1, found {shown(written)}")
    rest, step, accidental, octave, whole, parts = found.groups()
    pitch = REST if rest else _STEPS[step] + {"": 0, "#": 1, "b": -1}[accidental] + 12 * (int(octave) + 1)
    if not rest and not 0 <= pitch < NUM_PITCHES:
        raise InputError(f"{where}: {field!r}: pitches are from C-1 to G9, found {shown(written)}")
    divisor = int(parts or 1)
    if not 1 <= divisor <= FINEST or not 0 < Fraction(int(whole), divisor) <= LONGEST:
        raise InputError(
            f"{where}: {field!r}: a length is above 0 and at most {LONGEST} beats, with a divisor of at most {FINEST}, "
            f"found {shown(written)}"
        )
    return Note(pitch, Fraction(int(whole), divisor), ends_syllable)


def num_syllables(notes: Iterable[Note]) -> int:
    """How many syllables a melody sings."""
    return sum(note.ends_syllable for note in notes)


def check_together(syllables: Sequence[str], notes: Sequence[Note], where: str) -> None:
    """Raise InputError unless a melody has as many syllables as its lyrics."""
    if (found := num_syllables(notes)) != len(syllables):
        raise InputError(f"{where}: 'tgt' must have as many syllables as 'src', {len(syllables)}, found {found}")
