"""What a hostile input is, and what the command line must do with it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from hostile.command_line import Outcome

if TYPE_CHECKING:
    from hostile.home import Home

Command = Callable[["Home"], list[str]]
"""Makes the input in the working directory, which is empty, and returns the arguments of the command line."""

LONGEST_MESSAGE = 320
"""Characters of an error line; paths in it are relative here, and so are short."""


class Ending(Enum):
    """How a command may end."""

    REFUSED = "one line, a status that is not 0, nothing left behind"
    COUNTED = "status 0: the bad record is counted, and the good ones are done"
    TOLD = "refused, or taken with a word about it"
    EITHER = "any of them, or it is taken as it stands"


@dataclass(frozen=True)
class Case:
    """One hostile input.

    Args:
        name: "kind/what it is"; a row of the table of known failures names it.
        command: See `Command`.
        names: A regular expression that the message must match: the file, line, field or option, and what was found.
        ending: How the command may end.
        limited: Whether it runs in a child process with limits of memory and processor time.
        leaves: A regular expression of files that it may leave behind, because the next start removes them.
        marker: A file that must not be there afterwards, because only code of an attacker makes it.
    """

    name: str
    command: Command
    names: str = ""
    ending: Ending = Ending.REFUSED
    limited: bool = False
    marker: str = "attacked"
    leaves: str = "nothing"


Tree = dict[str, bytes | None]

_RESUMABLE = (
    r"out/(\.preparation|\.synthesis|audio_tokenizer|index\.jsonl|shard-)"  # jobs that the next start does again
    r"|.*\.consent\.json"  # was given, whatever became of the speech
)


def tree_of(folder: Path) -> Tree:
    """The content of every regular file below a folder, and None for everything else."""
    paths = [path for path in folder.rglob("*") if not path.is_symlink()]
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in sorted(paths)}


def complaints(case: Case, outcome: Outcome, before: Tree, after: Tree) -> list[str]:
    """What an outcome does that it must not."""
    found = [*_of_form(outcome), *_of_files(case, outcome, before, after)]
    if case.ending is Ending.REFUSED and outcome.status == 0:
        found.append("was taken, with status 0")
    if case.ending is Ending.COUNTED and outcome.status != 0:
        found.append(f"ended with status {outcome.status}; expected 0 and a count")
    if case.ending is not Ending.EITHER or outcome.status != 0:
        said = outcome.error_lines[0] if outcome.status and outcome.error_lines else _notes(outcome, after)
        if not re.search(case.names, said, re.DOTALL):
            found.append(f"does not say {case.names!r}")
    return found


def _of_form(outcome: Outcome) -> list[str]:
    if outcome.crash:
        return [f"ended with a traceback: {outcome.crash}"]
    if outcome.status == 0:
        return ["status 0, but an error is printed"] if outcome.error_lines else []
    if len(outcome.error_lines) != 1:
        return [f"{len(outcome.error_lines)} lines begin with 'error: '; expected 1"]
    line = outcome.error_lines[0]
    found = ["a traceback is printed"] if "Traceback (most recent call last)" in outcome.stderr else []
    if outcome.stderr.rstrip("\n").rpartition("\n")[2] != line:
        found.append("the error is not the last line, or not one line")
    if len(line) > LONGEST_MESSAGE:
        found.append(f"the message has {len(line)} characters")
    if not line.isprintable():
        found.append("the message holds control characters")
    if line.removeprefix("error: ").strip() in ("", "None"):
        found.append("the message is empty")
    return found


def _of_files(case: Case, outcome: Outcome, before: Tree, after: Tree) -> list[str]:
    found = [f"{name} was changed" for name in before if after.get(name) != before[name] and name in after]
    found += [f"{name} was removed" for name in before if name not in after]
    new = [name for name in after if name not in before]
    lost = [name for name in new if after[name] is not None and not re.match(f"{_RESUMABLE}|{case.leaves}$", name)]
    if outcome.status != 0 and lost:
        found.append(f"left {', '.join(lost[:4])} behind")
    if case.marker in after:
        found.append("code of the attacker ran")
    if outcome.status == 0:
        found += [f"{name} is not strict JSON" for name in new if _is_broken_json(name, after[name])]
        if any(name.endswith((".unfinished", ".lock", ".parts")) for name in new):
            found.append("left temporary files")
    return found


def _is_broken_json(name: str, content: bytes | None) -> bool:
    if content is None or not name.endswith((".json", ".jsonl")):
        return False
    texts = [content] if name.endswith(".json") else content.splitlines()
    try:
        for text in texts:
            json.loads(text, parse_constant=_refuse)
    except ValueError:
        return True
    return False


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _notes(outcome: Outcome, after: Tree) -> str:
    notes = ("errors.jsonl", "stats.json")
    errors = [content.decode() for name, content in after.items() if name.endswith(notes) and content]
    return "\n".join([outcome.stderr, outcome.stdout.decode("utf-8", "replace"), *errors])
