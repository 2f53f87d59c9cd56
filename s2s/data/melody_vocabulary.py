"""Tokens of melodies: three streams (pitch, length, end of the syllable), and the letters of lyrics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from s2s.data.batch import Ids
from s2s.data.melody import NUM_PITCHES, REST, Note
from s2s.durable import write_whole
from s2s.errors import InputError
from s2s.json_files import dump_json, read_object

STREAMS = ("pitch", "length", "boundary")
"""What a note is made of, in the order in which it is written."""
END = 0
"""The token after a melody; those of the streams follow it, one stream after the other."""
REST_PITCH = 0
"""A rest in the stream of pitches; MIDI number p is 1 + p."""
UNKNOWN = 1
"""A letter that training has not seen; 0 is padding."""
FILE = "melody.json"


@dataclass(frozen=True)
class MelodyVocabulary:
    """The letters of lyrics, and the lengths of notes in beats, ascending."""

    letters: tuple[str, ...]
    lengths: tuple[Fraction, ...]

    @classmethod
    def learn(cls, lines: Iterable[tuple[Sequence[str], Sequence[Note]]]) -> MelodyVocabulary:
        """What occurs in lines, each its syllables and its notes."""
        letters, lengths = set[str](), set[Fraction]()
        for syllables, notes in lines:
            letters.update(*(syllable.casefold() for syllable in syllables))
            lengths.update(note.beats for note in notes)
        return cls(tuple(sorted(letters)), tuple(sorted(lengths)))

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Values of each stream."""
        return 1 + NUM_PITCHES, len(self.lengths), 2

    @property
    def num_letters(self) -> int:
        """Letters, with padding and the unknown one."""
        return 2 + len(self.letters)

    def __len__(self) -> int:
        return 1 + sum(self.sizes)

    def values(self, notes: Sequence[Note]) -> Ids:
        """Notes as values of the streams, `(N, 3)`; a length that is not known becomes the nearest one."""
        rows = [(1 + note.pitch if note.pitch != REST else REST_PITCH, self._length(note.beats), note.ends_syllable)
                for note in notes]  # fmt: skip
        return np.array(rows, np.int64).reshape(-1, len(STREAMS))

    def _length(self, beats: Fraction) -> int:
        return min(range(len(self.lengths)), key=lambda index: abs(self.lengths[index] - beats))

    def notes(self, tokens: Sequence[int]) -> list[Note]:
        """The notes of tokens, three for each."""
        pitches, lengths, boundaries = (tokens[stream :: len(STREAMS)] for stream in range(len(STREAMS)))
        first_length = 1 + self.sizes[0]
        first_boundary = first_length + self.sizes[1]
        return [
            Note(pitch - 2 if pitch > 1 else REST, self.lengths[length - first_length], boundary > first_boundary)
            for pitch, length, boundary in zip(pitches, lengths, boundaries, strict=False)
        ]

    def spelled(self, syllables: Sequence[str]) -> tuple[Ids, Ids]:
        """The letters of a line, and the number of the syllable of each, `(L,)`."""
        known = {letter: number for number, letter in enumerate(self.letters, start=UNKNOWN + 1)}
        spelled = [[known.get(letter, UNKNOWN) for letter in syllable.casefold()] for syllable in syllables]
        owners = np.repeat(np.arange(len(spelled)), [len(letters) for letters in spelled])
        return np.concatenate([np.array(letters, np.int64) for letters in spelled]), owners

    def save(self, folder: Path) -> None:
        """Write it into a run folder."""
        content = {"letters": "".join(self.letters), "lengths": [str(beats) for beats in self.lengths]}
        write_whole(folder / FILE, dump_json(content).encode() + b"\n")

    @classmethod
    def load(cls, folder: Path) -> MelodyVocabulary:
        """The vocabulary in a run folder; InputError if it holds none."""
        path = folder / FILE
        try:
            content = read_object(path)
            return cls(tuple(content["letters"]), tuple(Fraction(beats) for beats in content["lengths"]))
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise InputError(f"{path}: is not the vocabulary of a run of melodies: {error}") from error
