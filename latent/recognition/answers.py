"""What VibeVoice-ASR writes, read: a JSON list of segments, whole or cut off, fenced, or no JSON at all.

    [{"Start":0.0,"End":7.56,"Speaker":0,"Content":"Hello there."}, ...]

The parsers of the released code and of `transformers` give up on different answers; here whatever either of them reads
is read, and what cannot be is kept as text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from latent.recognition.transcript import Segment, Transcript, timed

_START = ("Start", "Start time", "start_time", "start")
_END = ("End", "End time", "end_time", "end")
_SPEAKER = ("Speaker", "Speaker ID", "speaker_id", "speaker")
_CONTENT = ("Content", "content", "text")
_HEADER = re.compile(r"^\s*(?:assistant\b)?\s*(?:```(?:json)?)?\s*", re.IGNORECASE)
_FENCE_END = re.compile(r"\s*```\s*$")
_BETWEEN = re.compile(r"[\s,\[\]]*")


class Answer(NamedTuple):
    """The segments of an answer, and the rest of it that is none."""

    segments: list[Segment]
    rest: str


def read_answer(raw: str) -> Answer:
    """Read the answer of the model; the times are those that it gives, None where one is no number."""
    text = _FENCE_END.sub("", raw[_HEADER.match(raw).end() :])  # type: ignore[union-attr]
    decoder, place, found = json.JSONDecoder(), 0, []
    if text[:1] not in ("[", "{"):
        return Answer([], text.strip())
    while (place := _BETWEEN.match(text, place).end()) < len(text):  # type: ignore[union-attr]
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            break
        if not isinstance(value, dict):
            break
        found.append(_segment(value))
    rest = text[place:].strip()
    completed = _completed(rest)
    return Answer(found, rest) if completed is None else Answer([*found, completed], "")


def transcript_of(raw: str, seconds: float, language: str | None = None, warnings: Sequence[str] = ()) -> Transcript:
    """The transcript of a recording from the answer of the model; what is no segment becomes one, with a warning."""
    answer = read_answer(raw)
    if not answer.rest:
        return Transcript(timed(answer.segments, seconds), seconds, language, warnings, raw if warnings else None)
    told = (
        "part of what the model wrote is no segment, and is kept as text"
        if answer.segments
        else ("what the model wrote are no segments, it is kept as text")
    )
    segments = timed([*answer.segments, Segment(answer.rest)], seconds)
    return Transcript(segments, seconds, language, [*warnings, told], raw)


def written_answer(segments: Iterable[Segment]) -> str:
    """The answer that a model is trained to write; what is not known of a segment is left out."""
    items = []
    for segment in segments:
        known = {"Start": _rounded(segment.start), "End": _rounded(segment.end), "Speaker": _number(segment.speaker)}
        items.append({name: value for name, value in known.items() if value is not None} | {"Content": segment.text})
    return json.dumps(items, ensure_ascii=False, separators=(",", ":"))


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)


def _number(speaker: str | None) -> int | str | None:
    return int(speaker) if speaker is not None and speaker.isdecimal() else speaker


def _completed(rest: str) -> Segment | None:
    """The segment whose end is missing, if its text has begun."""
    if not rest.startswith("{"):
        return None
    for ending in ('"}', "}"):
        try:
            value = json.loads(rest + ending)
        except (ValueError, RecursionError):
            continue
        segment = _segment(value)
        return segment if segment.text else None
    return None


def _segment(value: Mapping[str, Any]) -> Segment:
    text = _first(value, _CONTENT)
    speaker = _first(value, _SPEAKER)
    return Segment(
        text="" if text is None else text.strip() if isinstance(text, str) else json.dumps(text, ensure_ascii=False),
        start=_seconds(_first(value, _START)),
        end=_seconds(_first(value, _END)),
        speaker=None if speaker is None else str(speaker),
    )


def _first(value: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((value[name] for name in names if name in value), None)


def _seconds(time: Any) -> float | None:
    """Seconds from a number, or from text such as "1.50" or "1:02.5"; None for anything else."""
    try:
        parts = [float(part) for part in str(time).split(":")]
    except ValueError:
        return None
    seconds = math.fsum(part * 60**power for power, part in enumerate(reversed(parts)))
    return seconds if math.isfinite(seconds) else None
