"""Which recordings are to be transcribed: a file, the audio files of a folder, or the lines of a manifest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latent.audio.files import FORMATS
from s2s.data.files import suffix_of
from s2s.data.jsonl import read_records
from s2s.errors import InputError
from s2s.json_files import describe

_SUFFIXES = {*FORMATS, ".mp3"}


@dataclass(frozen=True)
class Listed:
    """A recording to transcribe.

    Args:
        id: Its `id` in a manifest, its path in a folder, or the name of the file, both without the suffix.
        audio: The file.
        language: Code of two letters, or None.
        error: Why it cannot be transcribed, if that is known already.
    """

    id: str
    audio: Path
    language: str | None = None
    error: str | None = None


def find_recordings(source: Path) -> list[Listed]:
    """The recordings of a file, a folder with its subfolders, or a manifest (JSON lines with `audio`).

    A line without audio becomes a recording with an error.

    Raises:
        InputError: there are none, or two have the same id.
    """
    if source.is_dir():
        paths = sorted(path for path in source.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
        found = [Listed(path.relative_to(source).with_suffix("").as_posix(), path) for path in paths]
        found = _with_suffixes(found, source)
    elif suffix_of(source) in (".jsonl", ".json"):
        found = list(_of_manifest(source))
    else:
        found = [Listed(source.stem, source)]
    if not found:
        raise InputError(f"{source}: no audio in it; expected files in {', '.join(sorted(_SUFFIXES))}")
    seen = set[str]()
    for item in found:
        if item.id in seen:
            raise InputError(f"{source}: two recordings have the id {item.id!r}; ids must differ")
        seen.add(item.id)
    return found


def read_hot_words(path: Path | None) -> list[str]:
    """The lines of a file; none without one. Raises InputError if it is no text."""
    if path is None:
        return []
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: must be text in UTF-8, found byte {error.object[error.start]:#x}") from error


def _with_suffixes(found: Sequence[Listed], folder: Path) -> list[Listed]:
    """With the suffix in the id of files that differ in it alone."""
    stems = [item.id for item in found]
    return [
        item if stems.count(item.id) == 1 else Listed(item.audio.relative_to(folder).as_posix(), item.audio)
        for item in found
    ]


def _of_manifest(source: Path) -> Iterator[Listed]:
    for number, (where, record) in enumerate(read_records(source), start=1):
        id = str(record["id"]) if record.get("id") not in (None, "") else str(number)
        try:
            audio = source.parent / _string(record, "audio", where)
            language = _string(record, "language", where) if record.get("language") else None
        except InputError as error:
            yield Listed(id, source, error=str(error).removeprefix(f"{where}: "))
        else:
            yield Listed(id, audio, language)


def _string(record: dict[str, Any], field: str, where: str) -> str:
    value = record.get(field)
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise InputError(f"{where}: {field!r} must be a string that is not blank, found {describe(value)}")
    return value
