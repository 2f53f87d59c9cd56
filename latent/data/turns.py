"""Who says what in a recording of several speakers: the `segments` of a line of a manifest."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from s2s.errors import InputError
from s2s.json_files import describe


@dataclass(frozen=True)
class SpeakerTurn:
    """What one speaker says before another one does.

    Args:
        speaker: The name.
        text: What is said.
        start: In seconds, or None if it is not known; then `end` is not either.
        end: As `start`.
    """

    speaker: str
    text: str
    start: float | None = None
    end: float | None = None


Turns = tuple[SpeakerTurn, ...]
"""In the order of the recording."""


def read_turns(value: object, seconds: float, where: str) -> Turns:
    """The turns of a recording of that many seconds, from JSON; none if no segment names a speaker.

    Transcripts and references of recognition have the same form: a list of objects with `speaker`, `text`, `start` and
    `end`, the times of which may be left out.

    Raises:
        InputError: it has another form, only some segments name a speaker, or a time is outside the recording.
    """
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise InputError(f"{where}: 'segments' must be a list of objects, found {describe(value)}")
    named = [one for one in value if one.get("speaker") is not None]
    if named and len(named) < len(value):
        raise InputError(f"{where}: 'segments' must all name their 'speaker', found {len(named)} of {len(value)}")
    return tuple(_turn(one, seconds, f"{where}: 'segments'[{index}]") for index, one in enumerate(named))


def write_turns(turns: Iterable[SpeakerTurn]) -> list[dict[str, Any]]:
    """Turns as `read_turns` reads them."""
    return [{name: value for name, value in vars(turn).items() if value is not None} for turn in turns]


def numbered(turns: Sequence[SpeakerTurn]) -> list[int]:
    """The number of the speaker of each turn, counted from 0 in the order in which they first speak."""
    names = list(dict.fromkeys(turn.speaker for turn in turns))
    return [names.index(turn.speaker) for turn in turns]


def _turn(one: dict[str, Any], seconds: float, where: str) -> SpeakerTurn:
    speaker, text, start, end = (one.get(name) for name in ("speaker", "text", "start", "end"))
    for name, value in (("speaker", speaker), ("text", text)):
        if not isinstance(value, str) or not value.strip():
            raise InputError(f"{where}: {name!r} must be a string that is not blank, found {describe(value)}")
    if start is None and end is None:
        return SpeakerTurn(str(speaker), str(text))
    times = [start, end]
    if not all(isinstance(time, int | float) and math.isfinite(time) for time in times) or not 0 <= start < end:  # type: ignore[operator]
        raise InputError(f"{where}: 'start' and 'end' must be seconds, one after the other, found {describe(times)}")
    if start >= seconds:  # type: ignore[operator]
        raise InputError(f"{where}: must start within the recording of {seconds:g} s, found {start:g} s")
    return SpeakerTurn(str(speaker), str(text), float(start), min(float(end), seconds))  # type: ignore[arg-type]
