"""The texts that an evaluation of speech hears, with their recordings if there are any."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latent.data.manifest import read_manifest
from s2s.data.jsonl import id_field
from s2s.data.records import open_records
from s2s.errors import InputError
from s2s.json_files import describe

ENDED = "ended"
"""A field that only the manifest of a synthesis has."""


@dataclass(frozen=True)
class SpokenText:
    """A text, and the recording of it with its length in seconds, None where nobody recorded it.

    `prompt` is the recording whose voice it should be spoken in, if there is one.
    """

    id: str
    text: str
    speaker: str = "unknown"
    recording: Path | None = None
    seconds: float = 0.0
    prompt: Path | None = None


def read_spoken_texts(manifest: str) -> list[SpokenText]:
    """The texts of a manifest of recordings; or texts alone, as `synthesize --input` and its own manifest hold them.

    In both, `voice` may name the recording of a voice prompt: relative to the folder of the file, but as it stands in
    the manifest of a synthesis.

    Raises:
        InputError: a line is broken; only some lines have a recording; two lines have the same id.
    """
    rows = open_records(manifest, text_record=lambda text: {"text": text}).rows()
    first = next(rows, None)
    if first is not None and _is_recorded(first.record()):
        prompts = [_prompt(row.record(), manifest, row.where) for row in (first, *rows)]
        return [
            SpokenText(one.id, one.text, one.speaker, one.audio, one.seconds, prompt)
            for one, prompt in zip(read_manifest(manifest), prompts, strict=True)
        ]
    texts: dict[str, SpokenText] = {}
    for row in () if first is None else (first, *rows):
        record = row.record()
        id = id_field(record, row.where) or str(row.number)  # as synthesis names its files
        if _is_recorded(record) or id in texts:
            problem = (
                f"'id' {id!r} is that of an earlier line; ids must differ"
                if id in texts
                else "has audio, and earlier lines have none"
            )
            raise InputError(f"{row.where}: {problem}")
        prompt = _prompt(record, manifest, row.where)
        texts[id] = SpokenText(id, _text(record, row.where), str(record.get("speaker", "unknown")), prompt=prompt)
    if not texts:
        raise InputError(f"{manifest}: the file is empty; expected lines with id and text")
    return list(texts.values())


def is_synthesis(manifest: str) -> bool:
    """Whether a file is the manifest that a synthesis writes beside its audio."""
    row = next(open_records(manifest).rows(), None)
    return row is not None and ENDED in row.record()


def _prompt(record: dict[str, Any], manifest: str, where: str) -> Path | None:
    named = record.get("voice")
    if named is None:
        return None
    if not isinstance(named, str) or not named:
        raise InputError(f"{where}: 'voice' must be the path of a recording, found {describe(named)}")
    return Path(named) if ENDED in record else Path(manifest).parent / named


def _is_recorded(record: dict[str, Any]) -> bool:
    return "audio" in record and ENDED not in record


def _text(record: dict[str, Any], where: str) -> str:
    value = record.get("text")
    if not isinstance(value, str) or not value.strip():
        found = f"found {', '.join(map(repr, record))}" if "text" not in record else f"found {describe(value)}"
        raise InputError(f"{where}: 'text' must be a string that is not blank; {found}")
    return value
