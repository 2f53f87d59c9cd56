"""Packages of npm as archives: fetching them and unpacking some of their files; nothing is installed or run."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from s2s.errors import InputError

_MAX_BYTES = 1 << 30
"""Of the files that are unpacked from one archive."""


def fetch_archives(names: Sequence[str], folder: Path) -> list[Path]:
    """Download packages (`NAME@VERSION`) with `npm pack` into `folder`, in their order.

    Raises:
        InputError: npm is not installed, or has no such package.
    """
    folder.mkdir(parents=True, exist_ok=True)
    archives = []
    for name in names:
        command = ["npm", "pack", "--silent", "--ignore-scripts", name]
        try:
            run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise InputError(f"npm: not found; get {name} elsewhere (`npm pack {name}`) and give the file") from error
        written = folder / (run.stdout.strip().splitlines() or [""])[-1]
        if run.returncode or not written.is_file():
            problem = (run.stderr.strip().splitlines() or [f"exit status {run.returncode}"])[-1]
            raise InputError(f"npm pack {name}: {problem}")
        archives.append(written)
    return archives


def unpack_archive(archive: Path, patterns: Sequence[str], folder: Path) -> Path:
    """The folder that holds the files of a .tgz whose paths in the package match a pattern (`img/*/64/*.png`).

    A folder that is unpacked already is returned as it is.

    Raises:
        InputError: it is neither, it is damaged, or its files are larger than a gigabyte.
    """
    if archive.is_dir():
        return archive / "package" if (archive / "package").is_dir() else archive
    try:
        with tarfile.open(archive, "r:*") as opened:
            wanted = [member for member in opened if member.isfile() and _matches(member.name, patterns)]
            if (size := sum(member.size for member in wanted)) > _MAX_BYTES:
                raise InputError(f"{archive}: must unpack to at most {_MAX_BYTES:,} bytes, found {size:,}")
            opened.extractall(folder, wanted, filter="data")
    except (OSError, EOFError, tarfile.TarError) as error:
        raise InputError(f"{archive}: must be a package of npm (.tgz) or a folder of one: {error}") from error
    return folder / "package"


def _matches(name: str, patterns: Sequence[str]) -> bool:
    path = PurePosixPath(name)
    return path.parts[:1] == ("package",) and any(path.match(f"package/{pattern}") for pattern in patterns)
