"""Which part of a folder or data set serves a role: its files and its split for training, validation or test."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, TypeVar

from s2s.data.files import FORMATS, suffix_of
from s2s.data.remote import is_hidden
from s2s.errors import InputError

Role = Literal["train", "valid", "test"]
"""What records are for; decoding and scores take "test"."""
T = TypeVar("T")

NAMES: dict[Role, tuple[str, ...]] = {
    "train": ("train", "training"),
    "valid": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""Names of splits by role, the usual one first."""
_ALSO_NOTES = (".json", ".txt", ".text")
"""Formats in which folders hold other things too; they count if their name says which split they are."""


def choose_split(name: str, splits: dict[str, T], wanted: str, role: Role) -> tuple[str, T]:
    """The split that was asked for, or the one for a role, with its name.

    A role never takes the split of another one. "test" takes the only split, whatever its name; so does every role if
    it has none.

    Args:
        name: The folder or data set, for messages.
        splits: What there is, by name.
        wanted: The split that was asked for; "" for none.

    Raises:
        InputError: it has no such split.
    """
    for candidate in (wanted,) if wanted else NAMES[role]:
        if candidate in splits:
            return candidate, splits[candidate]
    if not wanted and len(splits) == 1 and (role == "test" or "" in splits):
        return next(iter(splits.items()))
    asked = repr(wanted) if wanted else " or ".join(map(repr, NAMES[role]))
    if "" in splits:
        raise InputError(f"{name}: it has no split {asked}; its files name none")
    found = ", ".join(map(repr, splits))
    raise InputError(f"{name}: it has no split {asked}, only {found}; name one, such as {name}:{next(iter(splits))}")


def files_by_split(folder: Path) -> dict[str, list[Path]]:
    """The files of a folder that hold records, by the split that their path names ("data/train-0-of-1.parquet").

    If none names a split, all are one split without a name. Names that begin with a dot or `_` are left out.
    """
    named: dict[str, list[Path]] = {}
    nameless: list[Path] = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if suffix_of(path) not in FORMATS or not path.is_file() or any(map(is_hidden, inside.parts)):
            continue
        if split := _split_in(Path(path.name) if suffix_of(path) in _ALSO_NOTES else inside):
            named.setdefault(split, []).append(path)
        elif suffix_of(path) not in _ALSO_NOTES:
            nameless.append(path)
    return named or ({"": nameless} if nameless else {})


def one_format(files: Iterable[Path], name: str) -> str:
    """The format of some files; InputError if they have several, and so may hold the same records twice."""
    suffixes = sorted({suffix_of(path) for path in files})
    if len({FORMATS[suffix] for suffix in suffixes}) > 1:
        raise InputError(f"{name}: holds {' and '.join(suffixes)} files for one split; name the file that is meant")
    return FORMATS[suffixes[0]]


def _split_in(path: Path) -> str | None:
    """The name of a split in a path, the last one first."""
    known = {name for names in NAMES.values() for name in names}
    words = [word for word in re.split(r"[^a-z]+", path.as_posix().lower()) if word in known]
    return words[-1] if words else None
