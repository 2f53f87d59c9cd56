"""Scripts: who says what, as plain text or JSON.

Plain text:

    Speaker 1: Good evening. [pause 0.8] Here is
      the news.
    anna: A line may have any name before its colon.

    A line without a name goes on with the one before; after a blank line it is a new line of the same speaker.
    [pause 1.5]

Text before the first name is Speaker 1's. An indented line is never read as one with a name, so that a colon in it is
only a colon. `[pause SECONDS]` is silence, inside a line or on a line of its own.

JSON (a list, or one object a line): `{"speaker": "anna", "text": "...", "pause": 1.5, "seed": 7}`; pause (after the
line) and seed need not be there, and a speaker 1 is Speaker 1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from latent.text.splitting import Fits, split_text
from s2s.data.jsonl import Line, parse_record, read_lines
from s2s.errors import InputError
from s2s.json_files import describe

FIRST_SPEAKER = "Speaker 1"
MAX_PAUSE = 600.0
"""Seconds; a longer pause is taken for a mistake."""

_NAMED = re.compile(r"(?P<name>[^\s:\[][^:,;!?\"“”]{0,39}):(?:\s+(?P<text>.*))?")
_PAUSE = re.compile(r"\[\s*pause\b\s*:?\s*(?P<seconds>[^\]]*?)\s*\]", re.IGNORECASE)
_SPACE = re.compile(r"\s+")
_FIELDS = ("speaker", "text", "pause", "seed")


@dataclass(frozen=True)
class ScriptLine:
    """Something to say without a break.

    Args:
        where: File and line, for messages and the report.
        speaker: As the script names it.
        text: What is said; not blank.
        part: 0, or more for what follows in the same line of the script after a pause or a split.
        pause: Seconds of silence after it; None for the usual.
        seed: Of its noise, the same for all parts of the line; None for one from the job's seed.
    """

    where: str
    speaker: str
    text: str
    part: int = 0
    pause: float | None = None
    seed: int | None = None


def read_script(path: str | Path, fits: Fits) -> list[ScriptLine]:
    """What a script says, in order, in pieces that can be said at once.

    Args:
        path: `.json`, `.jsonl`, or anything else for plain text.
        fits: Which texts can; others are split: at the end of sentences, else of clauses, else of words.

    Raises:
        InputError: the file cannot be read or says nothing; a line is not as described above, or `fits` raises it.
    """
    suffix = Path(path).suffix.lower()
    readers = {".json": _read_json, ".jsonl": _read_jsonl}
    lines: list[ScriptLine] = []
    for turn in readers.get(suffix, _read_text)(path):
        if not turn.text:
            raise InputError(f"{turn.where}: {turn.speaker!r} says nothing; expected text after the colon")
        for part in _parts(turn, fits):
            if part.text:
                lines.append(part)
            elif part.pause is not None:
                if not lines:
                    raise InputError(f"{part.where}: a script cannot begin with a pause; expected something to say")
                lines[-1] = replace(lines[-1], pause=(lines[-1].pause or 0.0) + part.pause)
    if not lines:
        raise InputError(f"{path}: nothing is said in it; expected lines like 'Speaker 1: Good evening.'")
    return lines


def same_speaker(name: str) -> str:
    """A speaker's name in the form that compares: case and spaces do not count."""
    return _SPACE.sub(" ", name.strip()).casefold()


def _parts(turn: ScriptLine, fits: Fits) -> Iterator[ScriptLine]:
    """The pieces of a line of the script; one without text is only a pause, or nothing."""
    first, *rest = _PAUSE.split(turn.text)  # text, seconds, text, seconds, ..., text
    pauses = [*(_pause_seconds(given, turn.where) for given in rest[::2]), turn.pause]
    part = 0
    for text, pause in zip([first, *rest[1::2]], pauses, strict=True):
        try:
            pieces = split_text(text, fits)
        except InputError as error:
            raise InputError(f"{turn.where}: {error}") from error
        for number, piece in enumerate(pieces, start=1):
            yield replace(turn, text=piece, part=part, pause=pause if number == len(pieces) else None)
            part += 1


def _pause_seconds(given: str, where: str) -> float:
    try:
        seconds = float(given.removesuffix("s"))
    except ValueError:
        raise InputError(f"{where}: a pause is written [pause SECONDS], found [pause {given}]") from None
    if not 0 <= seconds <= MAX_PAUSE:
        raise InputError(f"{where}: a pause must be 0 to {MAX_PAUSE:g} seconds, found {given}")
    return seconds


def _read_text(path: str | Path) -> Iterator[ScriptLine]:
    speaker, turn = FIRST_SPEAKER, None
    for where, line in _text_lines(path):
        named = None if line[:1].isspace() else _NAMED.fullmatch(line.rstrip())
        text = ((named["text"] or "") if named else line).strip()
        if turn is not None and (named or not text):
            yield turn
            turn = None
        if named:
            speaker = named["name"].strip()
        if turn is not None:
            turn = replace(turn, text=f"{turn.text} {text}".strip())
        elif named or text:
            turn = ScriptLine(where, speaker, text)
    if turn is not None:
        yield turn


def _text_lines(path: str | Path) -> Iterator[tuple[str, str]]:
    """Every line with its place, blank ones and indents included."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").splitlines(), start=1):
        try:
            yield f"{path}:{number}", line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{path}:{number}: invalid UTF-8 at byte {error.start + 1}; expected UTF-8 text") from None


def _read_jsonl(path: str | Path) -> Iterator[ScriptLine]:
    for line in read_lines(path):
        yield _from_record(parse_record(line), line.where)


def _read_json(path: str | Path) -> Iterator[ScriptLine]:
    """A list of objects, each with the line of the file that it begins on."""
    text = "\n".join(line for _, line in _text_lines(path))
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: broken JSON: {error.msg} at column {error.colno}") from error
    start = len(text) - len(text.lstrip())
    if text[start : start + 1] != "[":
        raise InputError(f"{path}: expected a list of objects with 'speaker' and 'text', found {text[start:][:20]!r}")
    decoder, position = json.JSONDecoder(), start + 1
    while True:
        position = _after(text, position, " \t\r\n,")
        if text[position] == "]":
            return
        number = text.count("\n", 0, position) + 1
        record, position = decoder.raw_decode(text, position)
        content = json.dumps(record).encode()
        yield _from_record(parse_record(Line(number, content, f"{path}:{number}")), f"{path}:{number}")


def _after(text: str, position: int, skipped: str) -> int:
    while text[position] in skipped:
        position += 1
    return position


def _from_record(record: dict[str, Any], where: str) -> ScriptLine:
    for field in record:
        if field not in _FIELDS:
            raise InputError(f"{where}: no field is called {field!r}; a line of a script has {', '.join(_FIELDS)}")
    speaker, text = record.get("speaker", FIRST_SPEAKER), record.get("text")
    if isinstance(speaker, int) and not isinstance(speaker, bool):
        speaker = f"Speaker {speaker}"
    for field, value in (("speaker", speaker), ("text", text)):
        if not isinstance(value, str) or not value.strip():
            raise InputError(f"{where}: {field!r} must be a string that is not blank, found {describe(value)}")
    assert isinstance(text, str)
    pause, seed = record.get("pause"), record.get("seed")
    if pause is not None:
        if isinstance(pause, bool) or not isinstance(pause, int | float) or not 0 <= pause <= MAX_PAUSE:
            raise InputError(f"{where}: 'pause' must be 0 to {MAX_PAUSE:g} seconds, found {describe(pause)}")
        pause = float(pause)
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63):
        raise InputError(f"{where}: 'seed' must be a whole number from 0, found {describe(seed)}")
    return ScriptLine(where, speaker.strip(), text.strip(), pause=pause, seed=seed)
