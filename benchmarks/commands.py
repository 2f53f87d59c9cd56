"""Runs our commands as a user does."""

from __future__ import annotations

import shlex
import subprocess
import sys


def unilatent(*command: str) -> None:
    """Print a command and run it; it ends at once where its output is complete."""
    print("unilatent", shlex.join(command), flush=True)
    subprocess.run([sys.executable, "-m", "unilatent", *command], check=True)
