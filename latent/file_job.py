"""A job that makes a set of files, one for each record; the same job continues where it was killed.

    FOLDER/ID.SUFFIX          one file for each record; it appears complete or not at all
    FOLDER/manifest.jsonl     when all is done: a line for each file
    FOLDER/errors.jsonl       the records without a file, and why, if there are any
    FOLDER/HIDDEN/rank-0.jsonl what this process has made, one line each, until the manifest holds it

A file that is there and whose digest the manifest or a journal has is of this job. The line of a file is written before
it, so a file that is known is whole.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from s2s.durable import WAY_OUT, Journal, claimed, read_journal, write_whole, writing
from s2s.errors import InputError
from s2s.generation.shard_folders import NOTE, ShardFolder, link_files
from s2s.json_files import dump_json

MANIFEST, ERRORS = "manifest.jsonl", "errors.jsonl"
FILES = "files"
"""What a shard of such a job holds."""


class FileJob:
    """The files of a job: which exist, and which of them it has made.

    Args:
        folder: Created by `prepare`.
        hidden: Name of the folder of the journals in it.
        ids: Of the records, names of files without suffix; slashes make folders.
        suffix: Of the files.
        digests: Hashes of all that each file depends on.
        former: The hashes that former versions had, if they differ.
    """

    def __init__(
        self,
        folder: Path,
        hidden: str,
        ids: Sequence[str],
        suffix: str,
        digests: Sequence[str],
        former: Sequence[str] | None = None,
    ) -> None:
        self.folder, self._hidden, self._ids, self._digests = folder, folder / hidden, ids, digests
        self._former = dict(zip(digests if former is None else former, digests, strict=True))
        self._entries: dict[tuple[Any, Any], dict[str, Any]] = {}
        self.paths = [folder / f"{id}{suffix}" for id in ids]
        self.done: set[int] = set()
        """Indices of the files that existed, and were made by this job, when `look` was called."""

    def look(self) -> None:
        """Read the manifest and the journals, and set `done`."""
        self._entries = {}
        for path in [self.folder / MANIFEST, *sorted(self._hidden.glob("rank-*.jsonl"))]:
            for entry in read_journal(path):
                digest = self._former.get(str(entry.get("digest")), entry.get("digest"))
                self._entries[entry.get("id"), digest] = {**entry, "digest": digest}
        known = [key in self._entries for key in zip(self._ids, self._digests, strict=True)]
        self.done = {index for index, path in enumerate(self.paths) if known[index] and path.exists()}

    def prepare(self, overwrite: bool) -> None:
        """Create the folder and remove what is to be replaced; refuse files of other jobs."""
        with writing(self.folder):
            if overwrite:
                shutil.rmtree(self._hidden, ignore_errors=True)
                for path in [*self.paths, self.folder / MANIFEST, self.folder / ERRORS]:
                    path.unlink(missing_ok=True)
            self._hidden.mkdir(exist_ok=True)
            (self.folder / NOTE).unlink(missing_ok=True)  # of a shard, which is not whole until the end
        self.look()
        for index, path in enumerate(self.paths):
            if path.exists() and index not in self.done:
                raise InputError(f"{path}: exists already, and is not of this job; {WAY_OUT}")

    def journal(self, rank: int) -> Journal:
        """The journal of a process."""
        return Journal(self._hidden / f"rank-{rank}.jsonl")

    def described(self, index: int, kind: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        """The line of a file in the manifest: id, the file under `kind`, facts, digest."""
        path = self.paths[index].relative_to(self.folder).as_posix()
        return {"id": self._ids[index], kind: path, **facts, "digest": self._digests[index]}

    def line(self, index: int) -> dict[str, Any]:
        """The line of a file that is done."""
        return self._entries[self._ids[index], self._digests[index]]

    def finish(self, errors: Sequence[Mapping[str, Any]], is_shard: bool = False) -> None:
        """Write the manifest and the errors, and remove the journals; of a shard, note that it is whole."""
        self.look()
        _write_lists(self.folder, [self.line(index) for index in sorted(self.done)], errors)
        shutil.rmtree(self._hidden, ignore_errors=True)
        if is_shard:
            names = [path.relative_to(self.folder).as_posix() for path in self.paths]
            depends_on = dump_json([names, self._digests]).encode()
            job = {"journal": self._hidden.name, "input": hashlib.sha256(depends_on).hexdigest()}
            ShardFolder(self.folder, FILES, job, {"places": sorted(self.done)}).finish()


def join_file_jobs(output: Path, shards: Sequence[ShardFolder], overwrite: bool) -> str:
    """Put the files of all shards into one folder, with the manifest and the errors of one process; a summary.

    Raises:
        InputError: the folder has files of these names already, is being written, or cannot be written.
    """
    with claimed(output, output / f"{shards[0].job['journal']}.lock"):
        if (output / MANIFEST).exists() and not overwrite:
            raise InputError(f"{output / MANIFEST}: exists already; {WAY_OUT}")
        link_files(shards, output, [MANIFEST, ERRORS], overwrite)
        placed: dict[int, dict[str, Any]] = {}
        for shard in shards:
            placed.update(zip(shard.facts["places"], read_journal(shard.path / MANIFEST), strict=True))
        errors = [error for shard in shards for error in read_journal(shard.path / ERRORS)]
        _write_lists(
            output, [placed[place] for place in sorted(placed)], sorted(errors, key=lambda error: error["line"])
        )
    failed = f", {len(errors):,} records could not be used" if errors else ""
    return f"{len(shards)} shards, {len(placed):,} files{failed}"


def _write_lists(folder: Path, lines: Sequence[Mapping[str, Any]], errors: Sequence[Mapping[str, Any]]) -> None:
    write_whole(folder / MANIFEST, _lines(lines))
    if errors:
        write_whole(folder / ERRORS, _lines(errors))
    else:
        (folder / ERRORS).unlink(missing_ok=True)


def _lines(records: Sequence[Mapping[str, Any]]) -> bytes:
    return "".join(dump_json(record) + "\n" for record in records).encode()
