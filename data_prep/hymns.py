"""Hymns from the scores that music21 brings: the sopranos of Bach's chorales, with their German verses.

The end of a line is a fermata. Notes without a syllable go on with the one before. The tunes and texts are of the 16th
to 18th century; of the encodings their files say "used by permission", so they are read where music21 is installed and
none is shipped.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data_prep.melodies import Tune, refusal
from data_prep.melodies import write as write_tunes
from s2s.data.melody import REST, Note
from s2s.data.midi import EXTRA
from s2s.data.song import Line
from s2s.packages import load, version_of

_ABOUT = (
    "Lines of hymns: the sopranos of chorales of J. S. Bach with their German verses, from the scores of music21 {}.\n"
    "Tunes are moved to C major or A minor; melodies that share more than 15 % of their runs of six intervals are\n"
    "one family, and a family is in one split.",
    "Tunes and texts are in the public domain. Their encodings are of M. Greentree and others, who have given them to\n"
    'music21 "by permission", without a license to pass them on: do not publish these files.',
)
_Event = tuple[Note, bool, dict[int, tuple[str, str]]]
"""A note, whether a line ends after it, and its syllables by verse: text and place in the word."""


def write(folder: Path) -> str:
    """Write the hymns as a corpus; returns its summary. InputError without music21."""
    corpus: Any = load("music21.corpus", EXTRA)
    skipped: Counter[str] = Counter()
    tunes: list[Tune] = []
    for path in tqdm(sorted(corpus.getComposer("bach")), desc="scores", unit=" scores", disable=None):
        if Path(path).suffix == ".mxl":
            tunes += _tunes(Path(path), skipped)
    return write_tunes(folder, "Hymns", [_ABOUT[0].format(version_of("music21")), _ABOUT[1]], tunes, skipped)


def _tunes(path: Path, skipped: Counter[str]) -> Iterator[Tune]:
    music21: Any = load("music21", EXTRA)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        score = music21.converter.parse(path)
        events = _events(music21, score)
    verses = sorted({verse for _, _, syllables in events for verse in syllables})
    if not verses:
        skipped["scores without lyrics"] += 1
    for verse in verses:
        lines = []
        for line in _lines(events, verse):
            reason = "lines without lyrics" if line is None else refusal(line)
            if line is None or reason:
                skipped[str(reason)] += 1
            else:
                lines.append(line)
        if lines:
            yield Tune(f"{path.stem}v{verse}", path.stem, lines)


def _events(music21: Any, score: Any) -> list[_Event]:
    """The soprano in C major or A minor, or nothing where no part has lyrics."""
    parts = [part for part in score.parts if any(note.lyrics for note in part.recurse().notes)]
    if not parts:
        return []
    key = score.analyze("key")
    steps = -key.tonic.pitchClass if key.mode == "major" else 9 - key.tonic.pitchClass
    steps = (steps + 6) % 12 - 6
    ends = {
        note.getOffsetInHierarchy(score) + note.quarterLength
        for part in score.parts
        for note in part.recurse().notes
        if any("Fermata" in mark.classes for mark in note.expressions)
    }
    return [_event(note, steps, ends, score) for note in parts[0].stripTies().recurse().notesAndRests]


def _event(note: Any, steps: int, ends: set[Any], score: Any) -> _Event:
    pitch = REST if note.isRest else int(note.pitch.midi) + steps
    beats = Fraction(note.quarterLength).limit_denominator(48)
    syllables = {lyric.number: (lyric.text or "", lyric.syllabic or "single") for lyric in note.lyrics}
    return Note(pitch, beats, False), note.getOffsetInHierarchy(score) + note.quarterLength in ends, syllables


def _lines(events: list[_Event], verse: int) -> Iterator[Line | None]:
    """The lines of a verse; None for one that the verse does not sing from its first note on."""
    line: list[_Event] = []
    for event in events:
        if event[0].beats > 0:
            line.append(event)
        if event[1]:
            yield _line(line, verse)
            line = []


def _line(events: list[_Event], verse: int) -> Line | None:
    """A line whose syllables end where the next one begins, with its last rests left out."""
    while events and events[-1][0].pitch == REST:
        events = events[:-1]
    syllables = [_written(*event[2][verse]) for event in events if verse in event[2]]
    first = next((verse in event[2] for event in events if event[0].pitch != REST), False)
    if not first or not all(any(letter.isalnum() for letter in syllable) for syllable in syllables):
        return None
    starts = [index for index, event in enumerate(events) if verse in event[2]]
    ends = {_last_sounding(events, start - 1) for start in starts[1:]} | {len(events) - 1}
    return Line(syllables, [event[0]._replace(ends_syllable=index in ends) for index, event in enumerate(events)])


def _last_sounding(events: list[_Event], index: int) -> int:
    while events[index][0].pitch == REST:
        index -= 1
    return index


def _written(text: str, place: str) -> str:
    """A syllable; one that its word goes on after ends in a hyphen."""
    syllable = "".join(text.replace("-", "").split())
    return f"{syllable}-" if place in ("begin", "middle") else syllable
