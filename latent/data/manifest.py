"""Manifests: JSON lines that say where recordings are, how long, and what is said by whom."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latent.audio.files import audio_info
from s2s.data.jsonl import describe, read_records
from s2s.errors import InputError


@dataclass(frozen=True)
class Utterance:
    """One line of a manifest.

    Args:
        id: Unique in the manifest.
        audio: The file; in the manifest its path is relative to the manifest's folder, or absolute.
        seconds: Its length.
        text: What is said.
        speaker: Who says it.
        language: Code of two letters.
    """

    id: str
    audio: Path
    seconds: float
    text: str
    speaker: str = "unknown"
    language: str = "en"


def read_manifest(path: str | Path) -> list[Utterance]:
    """All utterances of a manifest; `seconds` is read from the audio where the line has none.

    Raises:
        InputError: a line lacks id, audio or text; a value is of another type; two lines have one id; no line at all.
    """
    utterances: dict[str, Utterance] = {}
    for where, record in read_records(path):
        identity = _string(record, "id", where)
        if identity in utterances:
            raise InputError(f"{where}: 'id' {identity!r} is that of an earlier line; ids must differ")
        audio = Path(path).parent / _string(record, "audio", where)
        utterances[identity] = Utterance(
            identity,
            audio,
            _seconds(record, audio, where),
            _string(record, "text", where),
            _string(record, "speaker", where) if "speaker" in record else "unknown",
            _string(record, "language", where) if "language" in record else "en",
        )
    return list(utterances.values())


def _string(record: dict[str, Any], field: str, where: str) -> str:
    if field not in record:
        raise InputError(f"{where}: {field!r} is missing; found {', '.join(map(repr, record)) or 'no field'}")
    value = record[field]
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{where}: {field!r} must be a string that is not blank, found {describe(value)}")
    return value


def _seconds(record: dict[str, Any], audio: Path, where: str) -> float:
    if "seconds" not in record:
        return audio_info(audio).seconds
    value = record["seconds"]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise InputError(f"{where}: 'seconds' must be a number above 0, found {describe(value)}")
    return float(value)
