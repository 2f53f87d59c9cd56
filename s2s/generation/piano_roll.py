"""A picture of a song: time to the right, pitch upwards, and the syllables below their notes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from s2s.data.melody import note_name
from s2s.data.song import Line, Song
from s2s.durable import write_whole
from s2s.packages import load

_EXTRA = "music"
_SHARP = (1, 3, 6, 8, 10)


def write_piano_roll(path: Path, song: Song) -> None:
    """Write a picture with a row for each line, .png or .svg; InputError if matplotlib is not installed."""
    figures: Any = load("matplotlib.figure", _EXTRA)
    pitches = [note.pitch for note in song.sung()]
    low, high = min(pitches) - 3, max(pitches) + 2
    figure = figures.Figure(figsize=(9, 0.4 + 1.7 * len(song.lines)), layout="constrained")
    axes = figure.subplots(len(song.lines), 1, sharey=True, squeeze=False)[:, 0]
    longest = max(float(Song([line]).beats) for line in song.lines)
    for one, line in zip(axes, song.lines, strict=True):
        _draw(one, line, low, high)
        one.set_xlim(0, longest)
    axes[-1].set_xlabel("beats")
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix.lstrip(".") or "png", dpi=110)
    write_whole(path, content.getvalue())


def _draw(axes: Any, line: Line, low: int, high: int) -> None:
    for note in Song([line]).sung():
        start, beats = float(note.start), float(note.beats)
        axes.barh(note.pitch, beats, 0.9, left=start, align="center", color="#3b6ea5", edgecolor="white")
        if note.syllable is not None:
            axes.text(start + 0.05, low + 0.4, note.syllable, fontsize=8, clip_on=True)
    for pitch in range(low, high + 1):
        if pitch % 12 in _SHARP:
            axes.axhspan(pitch - 0.5, pitch + 0.5, color="#f2f2f2", zorder=0, linewidth=0)
    named = [pitch for pitch in range(low, high + 1) if pitch % 12 in (0, 4, 7, 9)]
    axes.set_yticks(named, [note_name(pitch) for pitch in named], fontsize=7)
    axes.set_ylim(low, high)
    axes.tick_params(axis="x", labelsize=7)
