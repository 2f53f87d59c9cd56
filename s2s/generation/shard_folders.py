"""Shards whose outputs are folders: what each leaves behind, and finding all of them to be joined.

speech.shard-3-of-8/             what shard 3 of 8 made
speech.shard-3-of-8/shard.json   that it is whole; its kind and job, and what joining must know of it
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2s.durable import WAY_OUT, flatten, whole_file, write_whole, writing
from s2s.errors import InputError
from s2s.generation.job_array import found_shards, shards_there
from s2s.json_files import dump_json, read_object

NOTE = "shard.json"


@dataclass(frozen=True)
class ShardFolder:
    """A finished shard.

    Args:
        path: Its folder.
        kind: What it holds, which names the way to join it.
        job: What its files depend on, the same for all shards of a job.
        facts: What joining must know, of its own.
    """

    path: Path
    kind: str
    job: dict[str, Any]
    facts: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> ShardFolder:
        """The shard of a folder; InputError if its note cannot be read."""
        note = read_object(path / NOTE)
        if not (isinstance(note.get("kind"), str) and all(isinstance(note.get(key), dict) for key in ("job", "facts"))):
            raise InputError(f"{path / NOTE}: is not the note of a shard; write the shard again")
        return cls(path, note["kind"], note["job"], note["facts"])

    def finish(self) -> None:
        """Note that the folder is whole."""
        note = {"kind": self.kind, "job": self.job, "facts": self.facts}
        write_whole(self.path / NOTE, dump_json(note, indent=1).encode() + b"\n")


def begin_shard(folder: Path) -> None:
    """Make the folder of a shard, which is not whole from now on."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / NOTE).unlink(missing_ok=True)


def is_divided_folder(output: Path) -> bool:
    """Whether shards of an output are there, and are folders."""
    return any(shard.path(output).is_dir() for shard in shards_there(output))


def folders_of(output: Path) -> list[ShardFolder]:
    """The shards of an output, in order; InputError if some are missing, not finished, or of different jobs."""
    folders = [ShardFolder.read(path) for path in found_shards(output, lambda path: (path / NOTE).is_file())]
    first = folders[0]
    for folder in folders:
        old, new = flatten({"kind": first.kind, **first.job}), flatten({"kind": folder.kind, **folder.job})
        different = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        if different:
            what = f"{different[0]} differs; write it again"
            raise InputError(f"{folder.path}: is of another job than {first.path.name}: {what}")
    return folders


def link_files(shards: Sequence[ShardFolder], output: Path, leave: Sequence[str], overwrite: bool) -> None:
    """Put the files of all shards into one folder, as links where the file system has them, else as copies.

    Args:
        shards: Their files have different names.
        output: The folder; made if missing.
        leave: Names at the top of a shard that stay there.
        overwrite: Replace files that are there.

    Raises:
        InputError: a file is there already, and is not that of the shard.
    """
    for shard in shards:
        for source in _files(shard.path, {NOTE, *leave}):
            target = output / source.relative_to(shard.path)
            with writing(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                if target.exists() and target.samefile(source):
                    continue
                if target.exists() and not overwrite:
                    raise InputError(f"{target}: exists already; {WAY_OUT}")
                target.unlink(missing_ok=True)
                link_file(source, target)


def _files(folder: Path, leave: set[str]) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name not in leave:
            yield from (file for file in sorted(path.rglob("*")) if file.is_file()) if path.is_dir() else (path,)


def link_file(source: Path, target: Path) -> None:
    """Give a file a second name, where there is none yet; where the file system has no links, a copy."""
    with suppress(OSError):
        os.link(source, target)
        return
    with open(source, "rb") as content, whole_file(target) as file:
        shutil.copyfileobj(content, file, 1 << 20)


def remove_shards(shards: Sequence[ShardFolder]) -> None:
    """Remove what the shards wrote."""
    for shard in shards:
        with writing(shard.path):
            shutil.rmtree(shard.path)
