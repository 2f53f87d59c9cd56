"""Requests from records: `text`, and optionally `id`, `speaker`, `voice`, `seed`, `temperature`."""

from __future__ import annotations

import contextlib
import logging
import re
import shlex
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from latent.audio.files import FORMATS
from latent.data.speech_prompts import SpeechRequest, derived_seed
from latent.synthesis.consent import NoConsent
from latent.synthesis.saying import Saying
from latent.synthesis.voice import Voice
from s2s.data.files import shown_name
from s2s.data.records import open_records
from s2s.data.tables import TEXT_FORMATS
from s2s.errors import InputError
from s2s.json_files import describe

logger = logging.getLogger(__name__)

_NO_NAMES = {*map(chr, range(32)), *map(chr, range(0xD800, 0xE000)), *'\\:"<>|?*'}
_RESERVED = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[\d¹²³]) *(?:\.|$)", re.IGNORECASE)
"""Names of devices on Windows, with any suffix."""
LONGEST_NAME = 200  # bytes; file systems take 255, and hidden parts of a file have longer names


@dataclass(frozen=True)
class Wishes:
    """Defaults for records that give no values of their own.

    Args:
        speaker: A speaker of the voice, or None.
        prompt: A recording of the voice to speak in, or None.
        seed: Of the noise; the seed of a record comes from this one and its id.
        temperature: Factor of the noise; None: the voice's.
        speed: 1 is the voice's own.
        consented: Recordings for which the user confirms the consent of their speakers.
    """

    speaker: str | None = None
    prompt: Path | None = None
    seed: int = 0
    temperature: float | None = None
    speed: float = 1.0
    consented: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """A record that can be spoken, with the recording of its voice prompt."""

    line: int
    request: SpeechRequest
    prompt: Path | None


@dataclass(frozen=True)
class Unusable:
    """A record that cannot be spoken, and why."""

    line: int
    id: Any
    error: str


class VoicePrompts:
    """Voice prompts, each read once, and only with consent, which the user confirms now for those of `consented`."""

    def __init__(self, voice: Voice, consented: Iterable[Path]) -> None:
        self._voice, self._consented = voice, {path.resolve() for path in consented}
        self._known: dict[Path, Any] = {}

    def read(self, path: Path) -> Any:
        """The voice prompt of a recording; raises NoConsent, or InputError if it cannot be one."""
        if path not in self._known:
            self._known[path] = self._voice.prompt(path, path.resolve() in self._consented)
        return self._known[path]


def read_requests(voice: Voice, source: str | Path, wishes: Wishes, strict: bool = False) -> list[Wanted | Unusable]:
    """The records of a file, in its order; blank lines of plain text are left out.

    Args:
        voice: The voice that tokenizes them.
        source: JSON lines, a table, plain text and others, see `open_records`. `voice` in them is a path, relative to
            the file's folder; an empty cell of a table is no value.
        wishes: Defaults.
        strict: Raise at the first record that cannot be used.

    Raises:
        InputError: the file cannot be read or has no usable record; a wish cannot be met; with `strict`, a record
            cannot be used.
    """
    read: list[Wanted | Unusable] = []
    prompts, lines, refused = VoicePrompts(voice, wishes.consented), dict[str, int](), dict[str, None]()
    if wishes.speaker is not None:
        voice.check_speaker(wishes.speaker)
    if wishes.prompt is not None:
        prompts.read(wishes.prompt)
    given = open_records(source, text_record=_text_record)
    for row in given.rows():
        record: dict[str, Any] = {}
        try:
            record = row.record()
            if given.format == "text" and not record["text"].strip():
                continue
            if given.format in TEXT_FORMATS:
                record = _from_cells(record)
            record.setdefault("id", row.number)
            id = file_name(record["id"])
            if (name := id.casefold()) in lines:  # as some file systems compare names
                raise InputError(
                    f"'id' {id!r} is that of {given.unit} {lines[name]}; ids must differ, not only in case"
                )
            lines[name] = row.number
            read.append(Wanted(row.number, *_request(voice, prompts, id, record, wishes, Path(source).parent)))
        except Exception as error:  # whatever is wrong with one record, speak the others
            message = str(error) if isinstance(error, InputError) else f"unexpected {type(error).__name__}: {error}"
            message = message.removeprefix(f"{row.where}: ")
            if strict:
                raise InputError(f"{row.where}: {message}") from error
            if isinstance(error, NoConsent):
                refused[str(Path(source).parent / record["voice"])] = None
            read.append(Unusable(row.number, record.get("id", row.number), message))
    if refused:
        options = " ".join(f"--consent-for {shlex.quote(path)}" for path in refused)
        logger.warning(f"recordings in {source} need the consent of their speakers; if you have it, give {options}")
    warn_of_spelling(item.request for item in read if isinstance(item, Wanted))
    if not read:
        raise given.nothing()
    if all(isinstance(item, Unusable) for item in read):
        first, unit = cast(Unusable, read[0]), given.unit
        raise InputError(
            f"{shown_name(source)}: none of its {len(read)} {unit}s can be spoken; {unit} {first.line}: {first.error}"
        )
    return read


def _text_record(text: str) -> dict[str, Any]:
    return {"text": text}


def _from_cells(cells: dict[str, Any]) -> dict[str, Any]:
    """The record of a row of a table whose cells are text: empty ones give no value, numbers are read."""
    record = {name: value for name, value in cells.items() if value or name == "text"}
    for name, kind in (("seed", int), ("temperature", float), ("speed", float)):
        with contextlib.suppress(KeyError, ValueError):  # what is no number is reported as in every record
            record[name] = kind(record[name])
    return record


def saying_of(voice: Voice, text: str | Iterable[str], wishes: Wishes, chunk_frames: int) -> Saying:
    """A text from the command line, or one that is still being written, as it is said; raises InputError."""
    prompt = None if wishes.prompt is None else VoicePrompts(voice, wishes.consented).read(wishes.prompt)
    return voice.saying(
        text,
        wishes.speaker,
        prompt=prompt,
        seed=wishes.seed,
        temperature=wishes.temperature,
        speed=wishes.speed,
        chunk_frames=chunk_frames,
    )


def warn_of_spelling(requests: Iterable[SpeechRequest]) -> None:
    """Warn of words that the voice guesses or spells, and of characters that it cannot read, with their counts."""
    spelled, dropped, guessed = Counter[str](), Counter[str](), Counter[str]()
    for request in requests:
        spelled.update(request.spelled)
        dropped.update(request.dropped)
        guessed.update(f"{word} as [[{sounds}]]" for word, sounds in request.guessed.items())
    if guessed:
        logger.warning(f"{_words(guessed)}, said by a guess: {_counted(guessed)}")
    if spelled:
        logger.warning(f"{_words(spelled)}, spelled out letter by letter or read by name: {_counted(spelled)}")
    if dropped:
        logger.warning(f"left out, since the voice cannot read them: {_counted(dropped)}")


def _words(counts: Counter[str]) -> str:
    return f"{len(counts)} out-of-vocabulary word{'s' * (len(counts) > 1)}"


def _counted(counts: Counter[str]) -> str:
    shown = ", ".join(f"{part[:60]} ({count}x)" for part, count in counts.most_common(8))
    return shown + (f" and {len(counts) - 8} others" if len(counts) > 8 else "")


def file_name(id: Any) -> str:
    """An id as the name of a file without suffix, with slashes for folders; raises InputError if it cannot be one."""
    if isinstance(id, bool) or not isinstance(id, (str, int)):
        raise InputError(f"'id' must be a string or a whole number, found {describe(id)}")
    name = str(id)
    parts = name.split("/")
    unusable = any(not part.strip() or part[0] == "." or part[-1] in ". " or _RESERVED.match(part) for part in parts)
    hides_file = any(Path(part).suffix.lower() in FORMATS for part in parts[:-1])
    if unusable or hides_file or not _NO_NAMES.isdisjoint(name):
        raise InputError(f"'id' becomes the name of a file and cannot be {describe(id)}")
    if len(name.encode(errors="replace")) > LONGEST_NAME:
        raise InputError(f"'id' becomes the name of a file and must not be longer than {LONGEST_NAME} bytes")
    return name


def _request(
    voice: Voice, prompts: VoicePrompts, id: str, record: dict[str, Any], wishes: Wishes, folder: Path
) -> tuple[SpeechRequest, Path | None]:
    text = value_of(record, "text", str, "a string")
    named = value_of(record, "voice", str, "a string")
    # a record that names a voice of its own is not spoken by the speaker of all others
    speaker = value_of(record, "speaker", str, "a string", wishes.speaker if named is None else None)
    prompt = wishes.prompt if named is None else folder / named
    seed = value_of(record, "seed", int, "a whole number")
    temperature = value_of(record, "temperature", (int, float), "a number", wishes.temperature)
    speed = value_of(record, "speed", (int, float), "a number", wishes.speed)
    if text is None:
        raise InputError(f"'text' is missing; found {', '.join(map(repr, record))}")
    latents = None if prompt is None else prompts.read(prompt)
    seed = derived_seed(wishes.seed, id) if seed is None else seed
    return voice.request(id, text, speaker, latents, seed, temperature, speed), prompt


def value_of(record: dict[str, Any], field: str, kind: Any, name: str, default: Any = None) -> Any:
    """The value of a field, by default where there is none; InputError, with the `name` of its kind, for another."""
    value = record.get(field)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, kind):
        raise InputError(f"{field!r} must be {name}, found {describe(value)}")
    return value
