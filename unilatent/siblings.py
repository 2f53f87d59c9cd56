"""Finds the packages that are installed beside this one, whatever the user's own files are called.

The current folder, PYTHONPATH or another distribution may hold an `eval.py` or a package `s2s`. Ours are looked for
beside this package alone. If another distribution has written its files into the same folder, `clash` says so.
"""

from __future__ import annotations

import os
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder

NAMES = ("s2s", "latent", "data_prep", "eval")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
"""The folder that this distribution is installed in."""


class Siblings(MetaPathFinder):
    """Finds our packages in `ROOT`, and nothing else."""

    @classmethod
    def find_spec(cls, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """The place of one of our packages; None for every other module."""
        return PathFinder.find_spec(fullname, [ROOT]) if fullname in NAMES else None

    @classmethod
    def invalidate_caches(cls) -> None:
        """Forget nothing, since nothing is kept; `importlib.invalidate_caches` asks every finder."""


def install() -> None:
    """Look for our packages here first, in this process; again is the same as once."""
    if Siblings not in sys.meta_path:
        sys.meta_path.insert(0, Siblings)


def leave_current_folder() -> None:
    """Undo what `python -m` does: it puts the current folder first on the path, before the libraries that we need."""
    if not getattr(sys.flags, "safe_path", False) and sys.path and sys.path[0] in ("", os.getcwd()):
        del sys.path[0]


def clash() -> str | None:
    """The line for a user whose installation holds the files of another distribution in the place of ours."""
    from importlib.metadata import distribution, packages_distributions

    for name, owners in packages_distributions().items():
        for owner in {*owners} - {"unilatent"} if name in NAMES else ():
            found = distribution(owner)
            if os.path.abspath(str(found.locate_file(""))) == ROOT:
                return (
                    f"{name}: the distribution {owner!r} {found.version} has written its files over ours; "
                    f"run `pip uninstall {owner}`, then `pip install --force-reinstall --no-deps unilatent`"
                )
    for name in NAMES:
        if name in sys.modules and not _is_ours(name):
            return f"{name}: another package of this name was imported before unilatent; import unilatent first"
    return None


def _is_ours(name: str) -> bool:
    return os.path.dirname(getattr(sys.modules[name], "__file__", None) or "") == os.path.join(ROOT, name)
