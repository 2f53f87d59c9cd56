"""The text and time of each line in an audio file of many lines: as JSON and as a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latent.longform.picture import Span, draw_audio
from s2s.durable import write_whole
from s2s.errors import InputError
from s2s.json_files import read_object


@dataclass(frozen=True)
class SpokenLine:
    """A line (or a take of several) in the audio: speech from sample `start` to `stop`, silence from there to `end`.

    Args:
        where: File and line of the script.
        part: Which piece of that line.
        speaker: As the script names it.
        cut: Whether it was truncated, because it did not end naturally.
    """

    where: str
    part: int
    speaker: str
    text: str
    seed: int
    start: int
    stop: int
    end: int
    cut: bool


@dataclass(frozen=True)
class ScriptSummary:
    """What was spoken of a script: lines (or takes of several), those that had to be truncated, seconds of audio."""

    lines: int
    cut: int
    seconds: float

    def __str__(self) -> str:
        truncated = f", {self.cut} truncated" if self.cut else ""
        return f"{self.seconds:.1f} s of audio, {self.lines} line{'s' * (self.lines != 1)}{truncated}"


def write_report(
    path: Path, audio: Path, sample_rate: int, lines: Sequence[SpokenLine], job: Mapping[str, Any]
) -> ScriptSummary:
    """Write the report of a finished job, and what the audio depends on; times are seconds of the audio.

    Raises:
        InputError: the file cannot be written.
    """
    fields = ("where", "part", "speaker", "start", "stop", "seed", "cut", "text")
    spoken = [
        {name: getattr(line, name) for name in fields}
        | {name: round(getattr(line, name) / sample_rate, 3) for name in ("start", "stop")}
        for line in lines
    ]
    summary = ScriptSummary(len(lines), sum(line.cut for line in lines), round(lines[-1].end / sample_rate, 3))
    about = {"audio": audio.name, "sample_rate": sample_rate, **vars(summary), "job": job}
    head = json.dumps(about, ensure_ascii=False)
    rows = ",\n  ".join(json.dumps(line, ensure_ascii=False) for line in spoken)
    write_whole(path, f'{head[:-1]}, "spoken": [\n  {rows}\n]}}\n'.encode())
    return summary


def read_report(path: Path) -> tuple[ScriptSummary, dict[str, Any]]:
    """The summary and the job of an earlier report; raises InputError if the file is not a report."""
    try:
        report = read_object(path)
        return ScriptSummary(report["lines"], report["cut"], report["seconds"]), dict(report["job"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is not the report of a spoken script") from error


def read_spans(path: Path) -> list[tuple[float, float]]:
    """When the lines of a report are heard, from and to, in seconds; raises InputError if the file is not a report."""
    try:
        return [(float(line["start"]), float(line["stop"])) for line in read_object(path)["spoken"]]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is not the report of a spoken script") from error


def draw_report(path: Path, audio: Path, sample_rate: int, lines: Sequence[SpokenLine]) -> None:
    """Draw the audio with who speaks when; see `draw_audio`."""
    spans = [Span(line.speaker, line.start / sample_rate, line.stop / sample_rate) for line in lines]
    draw_audio(audio, path, f"{audio.name}: synthetic speech", spans)
