"""Scripts: who says what, as plain text or JSON. The content decides which, not the name of the file.

Plain text:

    Speaker 1: Good evening. [pause 0.8] Here is
      the news.
    anna: A line may have any name before its colon.

    A line without a name continues the one before; after a blank line it is a new line of the same speaker.
    [pause 1.5]

Text before the first name is Speaker 1's. An indented line has no name (unless it is that of a known speaker), so that
a colon in it is only a colon. `[pause SECONDS]` is silence, inside a line or on a line of its own. Other stage
directions, as (laughs) or [music], are left out with a warning. `latent.text.labels` says how names may be written.

JSON (a list, or one object a line): `{"speaker": "anna", "text": "...", "pause": 1.5, "seed": 7}`; pause (after the
line) and seed are optional, and a speaker 1 is Speaker 1.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from latent.text.labels import find_label, find_mistaken_label, same_speaker, without_directions
from latent.text.splitting import Fits, split_text
from s2s.data.json_list import list_items
from s2s.errors import InputError
from s2s.json_files import describe, parse_object

logger = logging.getLogger(__name__)

FIRST_SPEAKER = "Speaker 1"
MAX_PAUSE = 600.0
"""Seconds; a longer pause is taken for a mistake."""

_PAUSE = re.compile(r"\[\s*pause\b\s*:?\s*(?P<seconds>[^\]]*?)\s*\]", re.IGNORECASE)
_JSON_LIST, _JSON_LINES = re.compile(r"\s*\[\s*[{\"\]]"), re.compile(r"\s*\{\s*[\"}]")
_SUBTITLE_TIMES = re.compile(r"\s*[\d:.,]+ *-->")
_FIELDS = ("speaker", "text", "pause", "seed")


@dataclass(frozen=True)
class ScriptLine:
    """A text to speak without a break.

    Args:
        where: File and line, for messages and the report.
        speaker: As the script names it.
        text: Not blank.
        part: 0, or more for what follows in the same line of the script after a pause or a split.
        pause: Seconds of silence after it; None: `script.pause_seconds`.
        seed: Of its noise, the same for all parts of the line; None: derived from the job's seed.
    """

    where: str
    speaker: str
    text: str
    part: int = 0
    pause: float | None = None
    seed: int | None = None


def read_script(path: str | Path, fits: Fits, names: Collection[str] = ()) -> list[ScriptLine]:
    """The lines of a script, in order, in pieces that fit.

    Args:
        path: Plain text or JSON, in UTF-8.
        fits: Texts that do not fit are split: at the end of sentences, else of clauses, else of words.
        names: Speakers that are known besides those whom the script itself names.

    Raises:
        InputError: the file cannot be read or has nothing to say, a line is malformed, or `fits` raises it.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    return script_lines(content, str(path), fits, names)


def script_lines(content: bytes, where: str, fits: Fits, names: Collection[str] = ()) -> list[ScriptLine]:
    """The lines of a script in memory, called `where` in messages; see `read_script`."""
    lines: list[ScriptLine] = []
    for turn in parse_script(content, where, names):
        for part in _parts(turn, fits):
            if part.text:
                lines.append(part)
            elif part.pause is not None:
                if not lines:
                    raise InputError(f"{part.where}: a script cannot begin with a pause; expected something to say")
                lines[-1] = replace(lines[-1], pause=(lines[-1].pause or 0.0) + part.pause)
    if not lines:
        raise InputError(f"{where}: nothing is said in it; expected lines like 'Speaker 1: Good evening.'")
    return lines


def parse_script(content: bytes, where: str, names: Collection[str] = ()) -> list[ScriptLine]:
    """The turns of a script, whole and with their pauses in them; see `read_script`."""
    numbered = list(_decoded(content, where))
    text = "\n".join(line for _, line in numbered)
    suffix = Path(where).suffix.lower()
    if _JSON_LINES.match(text) or (suffix == ".jsonl" and not _JSON_LIST.match(text)):
        turns = [_from_record(parse_object(line, at), at) for at, line in numbered if line.strip()]
    elif _JSON_LIST.match(text) or suffix == ".json":
        turns = list(_read_list(text, where))
    else:
        known = {same_speaker(name) for name in names}
        known |= {same_speaker(found.name) for _, line in numbered if (found := find_label(line))}
        turns = list(_read_text(numbered, known))
    known = {same_speaker(name) for name in [*names, *(turn.speaker for turn in turns)]}
    return _to_say(turns, known)


def _to_say(turns: list[ScriptLine], known: Collection[str]) -> list[ScriptLine]:
    """The turns without stage directions; refuses text that holds something like a label."""
    kept, left_out = [], list[str]()
    for turn in turns:
        text, directions = without_directions(turn.text)
        left_out += [f"{direction} ({turn.where})" for direction in directions]
        if (column := find_mistaken_label(text, known)) is not None:
            found = f"column {column} of the text looks like a speaker's label: {text[column - 1 :][:40]!r}"
            raise InputError(f"{turn.where}: {found}; begin a new line with 'NAME: ', or write it differently")
        if text:
            kept.append(replace(turn, text=text))
        elif not directions:
            raise InputError(f"{turn.where}: {turn.speaker!r} says nothing; expected text after the colon")
    if left_out:
        more = f" and {len(left_out) - 8} more" if len(left_out) > 8 else ""
        logger.warning(f"stage directions are not spoken: {', '.join(left_out[:8])}{more}")
    return kept


def _parts(turn: ScriptLine, fits: Fits) -> Iterator[ScriptLine]:
    """The pieces of a line of the script; one without text is at most a pause."""
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


def _decoded(content: bytes, where: str) -> Iterator[tuple[str, str]]:
    """Every line with its place, blank ones and indents included; lines may end as on any system."""
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").splitlines(), start=1):
        try:
            yield f"{where}:{number}", line.decode("utf-8")
        except UnicodeDecodeError as error:
            place = f"{where}:{number}: invalid UTF-8 at byte {error.start + 1}"
            raise InputError(f"{place}; expected UTF-8 text") from None


def _read_text(lines: list[tuple[str, str]], known: Collection[str]) -> Iterator[ScriptLine]:
    speaker, turn = FIRST_SPEAKER, None
    for where, line in lines:
        label, text = find_label(line, known), line.strip()
        if found := _JSON_LINES.match(line) or _SUBTITLE_TIMES.match(line):
            format = "JSON" if found.re is _JSON_LINES else "subtitles"
            raise InputError(f"{where}: looks like {format} in a script of plain text; expected 'NAME: text'")
        if turn is not None and (label or not text):
            yield turn
            turn = None
        if label is not None:
            speaker, text = label
        elif text and (column := find_mistaken_label(text, known)) is not None:
            column += len(line) - len(line.lstrip())
            raise InputError(f"{where}:{column}: looks like a speaker's label, expected 'NAME: text': {text[:40]!r}")
        if turn is not None:
            turn = replace(turn, text=f"{turn.text} {text}".strip())
        elif label is not None or text:
            turn = ScriptLine(where, speaker, text)
    if turn is not None:
        yield turn


def _read_list(text: str, where: str) -> Iterator[ScriptLine]:
    """A JSON list of objects, each with the line of the file that it begins on."""
    for line, item in list_items(text, where):
        yield _from_record(parse_object(item, f"{where}:{line}"), f"{where}:{line}")


def _from_record(record: dict[str, Any], where: str) -> ScriptLine:
    for field in record:
        if field not in _FIELDS:
            raise InputError(f"{where}: no field is called {field!r}; a line of a script has {', '.join(_FIELDS)}")
    speaker, text = record.get("speaker", FIRST_SPEAKER), record.get("text")
    if not isinstance(speaker, bool) and str(speaker).isdecimal():
        speaker = f"Speaker {speaker}"
    for field, value in (("speaker", speaker), ("text", text)):
        if not isinstance(value, str) or not value.strip():
            raise InputError(f"{where}: {field!r} must be a string that is not blank, found {describe(value)}")
        if any("\ud800" <= sign <= "\udfff" for sign in value):
            raise InputError(f"{where}: {field!r} holds half a surrogate pair; expected valid Unicode")
    assert isinstance(text, str)
    pause, seed = record.get("pause"), record.get("seed")
    if pause is not None:
        if isinstance(pause, bool) or not isinstance(pause, int | float) or not 0 <= pause <= MAX_PAUSE:
            raise InputError(f"{where}: 'pause' must be 0 to {MAX_PAUSE:g} seconds, found {describe(pause)}")
        pause = float(pause)
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63):
        raise InputError(f"{where}: 'seed' must be a whole number from 0, found {describe(seed)}")
    return ScriptLine(where, speaker.strip(), text.strip(), pause=pause, seed=seed)
