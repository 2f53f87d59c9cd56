"""Debian packages as archives: fetching and unpacking them, without root and without installing them."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from s2s.errors import InputError


def fetch_archives(names: Sequence[str], folder: Path) -> list[Path]:
    """Download packages with apt-get into `folder`; needs no root and installs nothing.

    Raises:
        InputError: apt-get is not installed, or has no such package.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # as root, apt downloads as another user, who has to reach the folder
    if _apt(folder, "download", *names):
        private = ["-o", f"Dir::State::lists={folder}/lists", "-o", f"Dir::Cache={folder}/cache"]
        for part in ("lists/partial", "cache/archives/partial"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        failure = _apt(folder, *private, "update") or _apt(folder, *private, "download", *names)
        if failure:
            raise InputError(f"apt-get download {names[0]}: {failure}; give the .deb files by --packages instead")
    return sorted(folder.glob("*.deb"))


def _apt(folder: Path, *arguments: str) -> str:
    """The last line of apt-get's errors, "" if it succeeded."""
    try:
        run = subprocess.run(["apt-get", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise InputError("apt-get: not found; fetch the .deb files and give them by --packages") from error
    if not run.returncode:
        return ""
    return (run.stderr.strip().splitlines() or [f"exit status {run.returncode}"])[-1]


def unpack_archives(packages: Sequence[Path], folder: Path, pattern: str, inside: str) -> list[Path]:
    """Folders with the contents of .deb files, of folders of .deb files, and of folders that are unpacked already.

    Args:
        pattern: Names of the .deb files that are taken from a folder of them.
        inside: Paths of which an unpacked folder has one.

    Raises:
        InputError: a path is none of these, or dpkg-deb is missing or fails.
    """
    roots = []
    archives: list[Path] = []
    for path in packages:
        if any(path.glob(inside)):
            roots.append(path)
        elif list(path.glob("*.deb")):
            archives += sorted(path.glob(pattern))
        elif path.is_file() and path.suffix == ".deb":
            archives.append(path)
        else:
            raise InputError(f"--packages {path}: expected a .deb file, or a folder of them, or one unpacked from them")
    for archive in archives:
        unpack_archive(archive, folder)
    return [*roots, *([folder] if archives else [])]


def unpack_archive(archive: Path, folder: Path) -> None:
    """The files of a .deb below a folder; InputError if dpkg-deb is missing or fails."""
    try:
        run = subprocess.run(["dpkg-deb", "-x", archive, folder], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise InputError(f"{archive}: cannot be unpacked: dpkg-deb is not installed; unpack it elsewhere") from error
    if run.returncode:
        problem = (run.stderr.strip().splitlines() or [f"exit status {run.returncode}"])[-1]
        raise InputError(f"{archive}: cannot be unpacked: {problem}")
