"""What a command costs before and after its work: whole programs that do nothing, a little, or import a library."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from earlier import checked_out
from measuring import REPO, System, Table, command, compare, python

from suites.files import RUN, write_sources

LINES = 10
TEXT = "Good morning."


def add_options(parser: argparse.ArgumentParser) -> None:
    """What is started."""
    parser.add_argument("--voice", default="demo", help="of the spoken text; empty: speak nothing")


def measure(args: argparse.Namespace) -> Iterator[Table]:
    """One table."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        source = folder / "in.jsonl"
        write_sources(source, LINES)
        systems = [
            System(f"python -c 'import {name}'", command(python("-c", f"import {name}")))
            for name in ("torch", "transformers")
        ]
        systems.append(verb("unilatent --help", ["--help"]))
        wanted = {f"unilatent decode, {LINES} lines": ["decode", str(RUN), f"--input={source}", "--device=cpu"]}
        if args.voice:
            spoken = f"--output={folder / 'spoken.wav'}"
            wanted[f"unilatent synthesize, {TEXT!r}"] = [
                "synthesize",
                args.voice,
                f"--text={TEXT}",
                spoken,
                "--overwrite",
            ]
        systems += [verb(name, arguments) for name, arguments in wanted.items()]
        for commit in args.against:
            tree = stack.enter_context(checked_out(commit))
            systems += [verb(f"{name} at {commit}", arguments, tree) for name, arguments in wanted.items()]
        table, _ = compare("from the start of a program to its end", "programs", 1, systems, args.rounds)
    table.peak.clear()
    yield table


def verb(name: str, arguments: Sequence[str], tree: Path = REPO) -> System:
    """A call of the command line of the files in `tree`."""
    return System(name, command(python("-m", "unilatent", *arguments), tree))
