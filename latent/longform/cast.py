"""Who speaks for the names in a script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latent.longform.script import ScriptLine
from latent.text.labels import NUMBERED, same_speaker
from s2s.errors import InputError


@dataclass(frozen=True)
class Role:
    """Who speaks for a name in a script: a speaker of the model, or a voice prompt."""

    speaker: str | None = None
    prompt: Any = None


def find_roles(
    script: str | Path,
    lines: Sequence[ScriptLine],
    cast: Mapping[str, Role],
    speakers: Sequence[str],
    numbers: bool = False,
) -> dict[str, Role]:
    """A role for each name in the script, by its `same_speaker` form.

    Without an entry in `cast`, the name of a speaker of the model is that speaker, and Speaker N is its Nth.

    Args:
        script: For messages.
        lines: The lines of the script.
        cast: Roles by name.
        speakers: Those of the model.
        numbers: Whether "Speaker 1" needs no role.

    Raises:
        InputError: nobody speaks for a name of the script, or the script lacks a name of `cast`.
    """
    given = {same_speaker(name): role for name, role in cast.items()}
    names = {same_speaker(line.speaker): line for line in reversed(lines)}  # the first line of each
    for name in cast:
        if same_speaker(name) not in names:
            found = ", ".join(dict.fromkeys(line.speaker for line in lines))
            raise InputError(f"--cast {name}: nobody is called that in {script}; its speakers are {found}")
    known = {same_speaker(name): Role(name) for name in reversed(speakers)}
    if numbers:
        known |= {name: Role() for name in names if NUMBERED.fullmatch(name)}
    return {name: given.get(name) or known.get(name) or _numbered(name, line, speakers) for name, line in names.items()}


def _numbered(name: str, line: ScriptLine, speakers: Sequence[str]) -> Role:
    number = NUMBERED.fullmatch(name)
    if number and 0 < int(number[1]) <= len(speakers):
        return Role(speakers[int(number[1]) - 1])
    shown = ", ".join(speakers[:8]) + (", ..." if len(speakers) > 8 else "") if speakers else "none"
    raise InputError(
        f"{line.where}: {line.speaker!r} has no voice; the model's speakers are {shown}; give "
        f'--cast "{line.speaker}=NAME or recording", or indent the line if that is no name'
    )
