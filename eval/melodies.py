"""Melodies against those of people: a score for each stream, for the syllables, and for what a melody is like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

from eval.matching import Entry, match, read_hypotheses, read_references
from eval.metric import Array, Metric, mean, ratio
from eval.report import Report, Scored, make_report
from s2s.data.fields import SOURCE, TARGET, Fields
from s2s.data.melody import REST, Note, num_syllables, read_notes, syllables_of
from s2s.errors import InputError

_PACKAGES = ("unilatent", "numpy")
_PITCH_CLASSES = 12

Pair = tuple[list[Note], list[Note]]
"""A melody that was written, and the one of the reference."""


@dataclass(frozen=True)
class MelodySettings:
    """The options of an evaluation; all of them are in the report.

    Args:
        baseline: Compare every other system with this one.
        resamples: Bootstrap samples for intervals; `seed` is theirs.
    """

    baseline: str | None = None
    resamples: int = 1000
    seed: int = 0


def evaluate_melodies(reference: str, systems: Mapping[str, str], settings: MelodySettings) -> Report:
    """Score melodies by stream; a line that failed counts as one without notes.

    Raises:
        InputError: a file is broken, does not fit the other, or holds what is no melody.
    """
    fields = Fields(SOURCE, TARGET)
    meant = read_references(reference, fields)
    if settings.baseline is not None and settings.baseline not in systems:
        raise InputError(f"--baseline: must be one of {', '.join(systems)}, found {settings.baseline!r}")
    scored, notes = {}, []
    for name, path in systems.items():
        found = match(read_hypotheses(path, fields), meant, path, reference)
        if failed := sum(entry.failed for entry in found):
            notes.append(f"{name}: {failed} of {len(found)} lines have no melody and count as empty")
        pairs = [(_notes(one), _notes(other)) for one, other in zip(found, meant, strict=True)]
        counts = [len(syllables_of(entry.source or "", entry.where)) for entry in meant]
        scored[name] = Scored(_quality(pairs, counts), _form([made for made, _ in pairs]))
    return make_report(scored, systems, reference, {"task": "melody", **asdict(settings)}, _PACKAGES, notes)


def _notes(entry: Entry) -> list[Note]:
    return read_notes(entry.text, entry.where)


def _quality(pairs: Sequence[Pair], counts: Sequence[int]) -> list[Metric]:
    right = [float(num_syllables(made) == count) for (made, _), count in zip(pairs, counts, strict=True)]
    return [
        mean("syllables", right, "lines with as many syllables as their lyrics"),
        _agreement("pitch", pairs, lambda note: note.pitch),
        _agreement("length", pairs, lambda note: note.beats),
        boundaries(pairs),
        durations(pairs),
        mean("classes", [_overlap(*pair) for pair in pairs], "overlap of the histograms of pitch classes of a line"),
    ]


def _agreement(name: str, pairs: Sequence[Pair], part: Callable[[Note], object]) -> Metric:
    """F1 of the runs of one to four values of a stream, which shorter and longer melodies than the reference lose."""
    shared, wholes = [], []
    for made, meant in pairs:
        ours, theirs = (_runs([part(note) for note in notes]) for notes in (made, meant))
        shared.append(2.0 * (ours & theirs).total())
        wholes.append(float(ours.total() + theirs.total()))
    return ratio(name, shared, wholes, f"F1 of runs of 1 to 4 values of {name}")


def _runs(values: Sequence[object]) -> Counter[tuple[object, ...]]:
    places = range(len(values))
    return Counter(tuple(values[place : place + size]) for size in range(1, 5) for place in places[: 1 - size or None])


def boundaries(pairs: Sequence[Pair]) -> Metric:
    """F1 of the times, in beats from the begin of the line, at which syllables end."""
    ends = [tuple(map(_ends, pair)) for pair in pairs]
    shared = [2.0 * len(ours & theirs) for ours, theirs in ends]
    wholes = [float(len(ours) + len(theirs)) for ours, theirs in ends]
    return ratio("boundaries", shared, wholes, "F1 of the times at which syllables end")


def _ends(notes: Sequence[Note]) -> set[Fraction]:
    now, found = Fraction(0), set()
    for note in notes:
        now += note.beats
        if note.ends_syllable:
            found.add(now)
    return found


def durations(pairs: Sequence[Pair]) -> Metric:
    """The share of syllables that last as long as in the reference."""
    right, wholes = [], []
    for made, meant in pairs:
        ours, theirs = (_durations(notes) for notes in (made, meant))
        right.append(float(sum(one == other for one, other in zip(ours, theirs, strict=False))))
        wholes.append(float(len(theirs)))
    return ratio("durations", right, wholes, "syllables that last as long as in the reference")


def _durations(notes: Sequence[Note]) -> list[Fraction]:
    found, lasting = [], Fraction(0)
    for note in notes:
        lasting += note.beats
        if note.ends_syllable:
            found.append(lasting)
            lasting = Fraction(0)
    return found


def _overlap(made: Sequence[Note], meant: Sequence[Note]) -> float:
    if not any(note.pitch != REST for note in made):
        return 0.0
    ours, theirs = (_classes(notes) for notes in (made, meant))
    return float(np.minimum(ours, theirs).sum())


def _classes(notes: Sequence[Note]) -> Array:
    """The share of the time that each pitch class sounds."""
    shares = np.zeros(_PITCH_CLASSES)
    for note in notes:
        if note.pitch != REST:
            shares[note.pitch % _PITCH_CLASSES] += float(note.beats)
    return np.asarray(shares / shares.sum())


def _form(melodies: Sequence[Sequence[Note]]) -> list[Metric]:
    pitches = [[note.pitch for note in notes if note.pitch != REST] for notes in melodies]
    steps = [[after - before for before, after in pairwise(line)] for line in pitches]
    repeated, total = [float(line.count(0)) for line in steps], [float(len(line)) for line in steps]
    leaps = [float(sum(abs(step) > 4 for step in line)) for line in steps]
    syllables = [float(num_syllables(notes)) for notes in melodies]
    return [
        ratio("repeated", repeated, total, "steps to the same pitch"),
        ratio("leaps", leaps, total, "steps of more than a major third"),
        ratio("notes", [float(len(line)) for line in pitches], syllables, "notes of a syllable", scale=1.0),
    ]
