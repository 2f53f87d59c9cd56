"""A song: lines of lyrics with their melodies, and its tempo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from s2s.data.melody import REST, Note


@dataclass(frozen=True)
class Line:
    """A line of a song; as many notes end a syllable as there are syllables, and none of these is a rest."""

    syllables: list[str]
    notes: list[Note]


@dataclass(frozen=True)
class Song:
    """Lines that are sung one after the other.

    Args:
        lines: In their order.
        beats_per_minute: Its tempo.
    """

    lines: list[Line]
    beats_per_minute: float = 90.0

    @property
    def beats(self) -> Fraction:
        """How long it is."""
        return sum((note.beats for line in self.lines for note in line.notes), Fraction(0))

    def sung(self) -> Iterator[Sung]:
        """The notes that sound, in their order."""
        now = Fraction(0)
        for line in self.lines:
            left, begins, last = iter(line.syllables), True, len(line.notes) - 1
            for place, note in enumerate(line.notes):
                if note.pitch != REST:
                    yield Sung(now, note.beats, note.pitch, next(left) if begins else None, place == last)
                    begins = note.ends_syllable
                now += note.beats


class Sung(NamedTuple):
    """A note of a song that sounds."""

    start: Fraction
    """In beats."""
    beats: Fraction
    pitch: int
    syllable: str | None
    """The syllable that begins on it."""
    ends_line: bool
