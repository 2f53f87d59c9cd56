#!/usr/bin/env python
"""Check the content and the size of a wheel and an sdist against what git tracks.

python scripts/check_archives.py dist/unilatent-*.whl dist/unilatent-*.tar.gz
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

REPO = Path(__file__).parents[1]
PACKAGES = ("unilatent", "s2s", "latent", "data_prep", "eval")
BESIDE = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "constraints.txt")
"""Files that the sdist must hold besides the packages."""
MOST_BYTES = 64_000_000


def main() -> None:
    tracked = tracked_files()
    problems = [problem for name in sys.argv[1:] for problem in problems_of(Path(name), tracked)]
    sys.exit("\n".join(f"error: {problem}" for problem in problems) if problems else 0)


def tracked_files() -> set[str]:
    """What git tracks of the packages."""
    listed = subprocess.run(["git", "ls-files", "-z", *PACKAGES], cwd=REPO, capture_output=True, text=True, check=True)
    return set(filter(None, listed.stdout.split("\0")))


def problems_of(archive: Path, tracked: set[str]) -> list[str]:
    """What is wrong with an archive: its size, tracked files that it lacks, files of a package that are not tracked."""
    size, names = archive.stat().st_size, set(members(archive))
    print(f"{archive.name}: {size / 1e6:.1f} MB, {len(names)} files")
    wanted = tracked | (set(BESIDE) if archive.suffix == ".gz" else set())
    own = {name for name in names if name.partition("/")[0] in PACKAGES}
    problems = [f"{archive.name}: {size / 1e6:.1f} MB, at most {MOST_BYTES / 1e6:.0f} are allowed"] * (
        size > MOST_BYTES
    )
    problems += [f"{archive.name}: lacks {few(wanted - names)}"] if wanted - names else []
    problems += [f"{archive.name}: holds {few(own - tracked)}, which git does not track"] if own - tracked else []
    return problems


def members(archive: Path) -> Iterable[str]:
    """The files in an archive; those of an sdist without its folder."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return [item.filename for item in wheel.infolist() if not item.is_dir()]
    with tarfile.open(archive) as sdist:
        return [str(PurePosixPath(*PurePosixPath(item.name).parts[1:])) for item in sdist if item.isfile()]


def few(names: set[str]) -> str:
    """Some names, and how many more there are."""
    return ", ".join(sorted(names)[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


if __name__ == "__main__":
    main()
