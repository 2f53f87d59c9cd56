"""Tunes with lyrics as a corpus: a pair is a line, its syllables and its notes, with the notes of the lines before.

Tunes that are variants of each other are a family, and a family is in one split.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.corpus_writer import CorpusWriter, Pair
from s2s.data.melody import REST, Note, as_text, num_syllables
from s2s.data.song import Line

MOST_NOTES = 40
"""Of a line; in a longer one the end of a line was not marked."""
MOST_NOTES_OF_SYLLABLE = 8
"""More are taken for lyrics that are missing."""
CONTEXT_NOTES = 64
"""Notes before a line that its record holds."""
SHARED_INTERVALS, SHARED_SHARE = 6, 0.15
"""Two tunes are of one family if more than this share of their runs of so many intervals is the same; ornaments do not
count, only the first note of each syllable."""


@dataclass(frozen=True)
class Tune:
    """A tune with one text: `melody` names what other texts of it share."""

    id: str
    melody: str
    lines: list[Line]


def families(tunes: Iterable[Tune]) -> dict[str, str]:
    """A name for the family of each melody: those that are joined by runs of intervals, whatever their key."""
    runs: dict[str, set[tuple[int, ...]]] = {}
    for tune in tunes:
        runs.setdefault(tune.melody, set()).update(_runs(tune))
    names: dict[str, str] = {}
    for melody, own in runs.items():
        related = {names[other] for other in names if _alike(own, runs[other])}
        name = min([melody, *related])
        names = {other: name if known in related else known for other, known in names.items()} | {melody: name}
    return names


def _alike(one: set[tuple[int, ...]], other: set[tuple[int, ...]]) -> bool:
    return len(one & other) > SHARED_SHARE * min(len(one), len(other))


def _runs(tune: Tune) -> Iterator[tuple[int, ...]]:
    pitches = [pitch for line in tune.lines for pitch in _first_pitches(line.notes)]
    steps = [after - before for before, after in itertools.pairwise(pitches)]
    for place in range(len(steps) - SHARED_INTERVALS + 1):
        yield tuple(steps[place : place + SHARED_INTERVALS])


def _first_pitches(notes: Sequence[Note]) -> Iterator[int]:
    begins = True
    for note in notes:
        if note.pitch != REST:
            if begins:
                yield note.pitch
            begins = note.ends_syllable


def split_of(family: str) -> str:
    """The split of a family: 70 % train, 10 % valid, 20 % test, by md5 of its name."""
    place = int(hashlib.md5(family.encode()).hexdigest(), 16) % 100
    return "train" if place < 70 else "valid" if place < 80 else "test"


def write(folder: Path, title: str, about: Sequence[str], tunes: Sequence[Tune], skipped: Mapping[str, int]) -> str:
    """Write the lines of tunes as a corpus; returns its summary."""
    family = families(tunes)
    with CorpusWriter(folder, title, about) as writer:
        for reason, count in skipped.items():
            for _ in range(count):
                writer.skip(reason)
        for tune in tunes:
            for pair in _pairs(tune, family[tune.melody]):
                writer.add(split_of(family[tune.melody]), pair)
    return writer.summary


def _pairs(tune: Tune, family: str) -> Iterator[Pair]:
    before: list[Note] = []
    for number, line in enumerate(tune.lines, start=1):
        fields = {"context": as_text(before[-CONTEXT_NOTES:]), "tune": tune.id, "family": family}
        yield Pair(f"{tune.id}.{number}", " ".join(line.syllables), as_text(line.notes), fields)
        before += line.notes


def refusal(line: Line) -> str | None:
    """Why a line is left out, or None."""
    if not line.syllables:
        return "lines without lyrics"
    if len(line.notes) > MOST_NOTES:
        return f"lines of more than {MOST_NOTES} notes, whose ends are not marked"
    assert num_syllables(line.notes) == len(line.syllables)
    length, longest = 0, 0
    for note in line.notes:
        length += 1
        longest, length = max(longest, length), 0 if note.ends_syllable else length
    if longest > MOST_NOTES_OF_SYLLABLE:
        return f"lines with more than {MOST_NOTES_OF_SYLLABLE} notes of a syllable"
    return None
