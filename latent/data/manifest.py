"""Manifests: JSON lines with the audio file, length, text and speaker of each recording, or who says what in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latent.audio.files import audio_info
from latent.data.turns import Turns, read_turns
from s2s.data.jsonl import read_records
from s2s.errors import InputError
from s2s.json_files import describe

_BEYOND_END = 0.1
"""Seconds by which an alignment may exceed its recording: the frames of aligners overlap the end."""
_OPTIONAL = ("speaker", "language")


@dataclass(frozen=True)
class Sounding:
    """Where a unit of a text ("/AH" or "q", a token of a front end) sounds in its recording, in seconds."""

    unit: str
    start: float
    end: float


Alignment = tuple[Sounding, ...]
"""Units in the order of the text, one after another; between them is silence."""


@dataclass(frozen=True)
class Utterance:
    """One line of a manifest.

    Args:
        id: Unique in the manifest.
        audio: The file; the manifest gives its path relative to its own folder, or an absolute one.
        seconds: Its length.
        text: Its transcript.
        speaker: Its speaker.
        language: Code of two letters.
        alignment: When each unit of the text sounds, if known.
        turns: Who says what, if the line has `segments`; `text` is then all that is said, unless the line has its own.
    """

    id: str
    audio: Path
    seconds: float
    text: str
    speaker: str = "unknown"
    language: str = "en"
    alignment: Alignment | None = None
    turns: Turns = ()


def read_manifest(path: str | Path, alignments: bool = True) -> list[Utterance]:
    """All utterances of a manifest; `seconds` comes from the audio where the line has none.

    `alignments`: whether to read them; a program that makes new ones ignores old ones.

    Raises:
        InputError: a line lacks id, audio, or text and segments; a value has another type; two lines have the same id;
            an alignment or segments are invalid; the file has no line.
    """
    utterances: dict[str, Utterance] = {}
    for where, record in read_records(path):
        identity = string_field(record, "id", where)
        if identity in utterances:
            raise InputError(f"{where}: 'id' {identity!r} is that of an earlier line; ids must differ")
        audio = Path(path).parent / string_field(record, "audio", where)
        seconds = _seconds(record, audio, where)
        optional: dict[str, Any] = {name: string_field(record, name, where) for name in _OPTIONAL if name in record}
        if record.get("segments"):
            optional |= _told(record, seconds, where)
        if alignments and record.get("alignment") is not None:
            optional["alignment"] = read_alignment(record["alignment"], seconds, where)
        said = " ".join(turn.text for turn in optional.get("turns", ()))
        text = said if said and "text" not in record else string_field(record, "text", where)
        utterances[identity] = Utterance(identity, audio, seconds, text, **optional)
    return list(utterances.values())


def _told(record: dict[str, Any], seconds: float, where: str) -> dict[str, Any]:
    """The turns of a line, and its speaker if there is only one."""
    turns = read_turns(record["segments"], seconds, where)
    speakers = {turn.speaker for turn in turns}
    return {"turns": turns} | ({"speaker": speakers.pop()} if len(speakers) == 1 else {})


def read_alignment(value: object, seconds: float, where: str) -> Alignment:
    """An alignment from JSON, `[[unit, start, end], ...]`, cut to a recording of that many seconds.

    Raises:
        InputError: it has another form, or its units overlap or lie beyond the end.
    """
    if not isinstance(value, list):
        raise InputError(f"{where}: 'alignment' must be a list of [unit, start, end], found {describe(value)}")
    found: list[Sounding] = []
    for index, item in enumerate(value):
        field = f"{where}: 'alignment'[{index}]"
        if not (isinstance(item, list) and len(item) == 3 and isinstance(item[0], str) and item[0]):
            raise InputError(f"{field} must be [unit, start, end], found {describe(item)}")
        unit, start, end = item
        if not (_is_number(start) and _is_number(end)):
            raise InputError(f"{field} must have two numbers of seconds after {unit!r}, found {start!r} and {end!r}")
        earliest = found[-1].end if found else 0.0
        if not earliest <= min(start, seconds) <= min(end, seconds) or start > end:
            raise InputError(
                f"{field} ({unit!r}) must start at {earliest:g} s or later and end no earlier than it starts, "
                f"found {start:g} to {end:g} s"
            )
        if end > seconds + _BEYOND_END:
            raise InputError(f"{field} ({unit!r}) must end within the recording of {seconds:g} s, found {end:g} s")
        found.append(Sounding(unit, min(float(start), seconds), min(float(end), seconds)))
    return tuple(found)


def write_alignment(alignment: Alignment) -> list[tuple[str, float, float]]:
    """An alignment as `read_alignment` reads it, to a tenth of a millisecond."""
    return [(sounding.unit, round(sounding.start, 4), round(sounding.end, 4)) for sounding in alignment]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def string_field(record: dict[str, Any], field: str, where: str) -> str:
    """The value of a field; InputError if it is missing, no string, or blank."""
    if field not in record:
        raise InputError(f"{where}: {field!r} is missing; found {', '.join(map(repr, record)) or 'no field'}")
    value = record[field]
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{where}: {field!r} must be a string that is not blank, found {describe(value)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{where}: {field!r} holds half a surrogate pair at character {error.start + 1}") from error
    return value


def _seconds(record: dict[str, Any], audio: Path, where: str) -> float:
    if "seconds" not in record:
        try:
            return audio_info(audio).seconds
        except InputError as error:
            raise InputError(f"{where}: 'audio': {error}") from error
    value = record["seconds"]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise InputError(f"{where}: 'seconds' must be a number above 0, found {describe(value)}")
    return float(value)
