"""Unpacking Debian packages, without root and without installing them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from s2s.errors import InputError


def unpack_archive(archive: Path, folder: Path) -> None:
    """The files of a .deb below a folder; InputError if dpkg-deb is missing or fails."""
    try:
        run = subprocess.run(["dpkg-deb", "-x", archive, folder], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise InputError(f"{archive}: cannot be unpacked: dpkg-deb is not installed; unpack it elsewhere") from error
    if run.returncode:
        problem = (run.stderr.strip().splitlines() or [f"exit status {run.returncode}"])[-1]
        raise InputError(f"{archive}: cannot be unpacked: {problem}")
