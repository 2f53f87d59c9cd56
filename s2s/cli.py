"""The console command `unilatent`: collects its verbs from the entry points, and knows no package by name."""

from __future__ import annotations

import logging
import os
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer

from s2s.errors import InputError

GROUP = "unilatent.commands"

UsageError: Any = typer.BadParameter.__base__
"""What typer raises for a command line that it cannot read; typer does not export it under its own name."""


def build_app() -> typer.Typer:
    """The application with one command or group per entry point of the group `unilatent.commands`."""
    app = typer.Typer(
        name="unilatent",
        help="Sequence-to-sequence generation from pretrained encoders: prepare, train, decode, evaluate.",
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
    )
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        _add(app, entry)
    return app


def _add(app: typer.Typer, entry: EntryPoint) -> None:
    try:
        verb = entry.load()
    except (ImportError, AttributeError) as error:  # a missing extra; an installation older than the code
        reason = str(error)

        def unavailable() -> None:
            raise InputError(f"{entry.name}: cannot be loaded: {reason}; is the extra that it needs installed?")

        app.command(entry.name, help=f"Unavailable: {reason}")(unavailable)
        return
    if isinstance(verb, typer.Typer):
        app.add_typer(verb, name=entry.name)
    else:
        app.command(entry.name)(verb)


def main() -> None:
    """Run the command line. A user's mistake is one line on standard error and exit status 1.

    So is, without a line, a reader of our standard output that has had enough (`head`): typer sees to that.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for chatty in ("httpx", "datasets", "transformers", "matplotlib"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    try:
        sys.exit(build_app()(standalone_mode=False))
    except (InputError, UsageError) as error:
        first = os.environ.get("RANK", "0") == "0"  # under torchrun every rank finds the same mistake
        sys.exit(f"error: {_in_one_line(error)}" if first else 1)


def _in_one_line(error: InputError | UsageError) -> str:
    if isinstance(error, InputError):
        return str(error)
    message = (
        (error.format_message() or "no command is given")
        .removesuffix(".")
        .replace("Value error, ", "")
        .replace("Input should", "must")
    )
    return str(InputError(f"{message}; see `{error.ctx.command_path if error.ctx else 'unilatent'} --help`"))


if __name__ == "__main__":
    main()
