"""This package at an earlier commit, as a system beside today's: its code in a process of its own, today's benchmark.

Today's code then also runs in a process of its own: a process without the peers' libraries is a little faster. The
commit is checked out into a temporary worktree. Its process builds the system of a suite, and then runs it whenever
it is asked, so its runs alternate with those of the others. Without a request it waits and takes no processor time.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from measuring import REPO, Spent, System, in_process, python

import s2s

Earlier = Callable[[str], System]
"""A system of a suite, by name, as an earlier commit computes it."""


@contextlib.contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """A folder with the files of a commit, until the end of the block."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        git = ["git", "-C", str(REPO), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), commit], check=True)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


@contextlib.contextmanager
def systems_of(commits: Sequence[str], suite: str, args: argparse.Namespace) -> Iterator[list[Earlier]]:
    """For each commit, and for today's code if there is any, what makes its systems of a suite."""
    with contextlib.ExitStack() as stack:
        options = {name: value for name, value in vars(args).items() if name not in ("json", "against")}
        trees = {f"at {commit}": stack.enter_context(checked_out(commit)) for commit in commits}
        here = {"now, in its own process": REPO} if commits else {}
        yield [_maker(stack, tree, where, suite, options) for where, tree in {**here, **trees}.items()]


def _maker(stack: contextlib.ExitStack, tree: Path, where: str, suite: str, options: dict[str, Any]) -> Earlier:
    def system(name: str) -> System:
        process = stack.enter_context(_started(tree, suite, name, options))

        def timed() -> tuple[Spent, Any]:
            assert process.stdin is not None
            assert process.stdout is not None
            print("run", file=process.stdin, flush=True)
            answer = process.stdout.readline()
            if not answer:
                raise SystemExit(f"{name} {where}: its process ended with status {process.wait()}")
            wall, cpu, output = json.loads(answer)
            return Spent(wall, cpu), output

        return System(f"{name} {where}", timed)

    return system


@contextlib.contextmanager
def _started(tree: Path, suite: str, name: str, options: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        python(__file__, suite, name, json.dumps(options)),
        env={**os.environ, "PYTHONPATH": str(tree)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """The process of an earlier commit: build a system, and run it once for every line of standard input."""
    suite, name, options = sys.argv[1:]
    args = argparse.Namespace(**json.loads(options))
    assert s2s.__file__.startswith(os.environ["PYTHONPATH"]), "the code of another commit was imported"
    torch.set_num_threads(args.threads)
    timed = in_process(importlib.import_module(f"suites.{suite}").own(name, args))
    for _ in sys.stdin:
        spent, output = timed()
        print(json.dumps([*spent, output]), flush=True)


if __name__ == "__main__":
    main()
