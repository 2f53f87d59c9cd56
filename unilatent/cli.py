"""The console command `unilatent`: reads the command line, and turns every failure into a line and a status."""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import os
import signal
import sys
import traceback
from functools import partial
from typing import Annotated, Any, NoReturn

import typer

from s2s.errors import InputError, is_out_of_memory
from s2s.shipped import data_path
from unilatent.siblings import clash
from unilatent.verbs import Verbs

_INTERRUPTED = 128 + signal.SIGINT
"""The status after Ctrl-C; some versions of typer return it, others raise."""
UsageError: Any = typer.BadParameter.__base__
"""What typer raises for a command line that it cannot read; typer does not export it under its own name."""


def build_app() -> typer.Typer:
    """The application. It knows the names of all verbs, and imports the one that is called (`unilatent.verbs`)."""
    app = typer.Typer(
        name="unilatent",
        cls=Verbs,
        help="Text generation from pretrained encoders (train, decode, evaluate) and speech by next-token diffusion "
        "(encode, train, synthesize). `unilatent VERB --help` explains a verb, `unilatent options` the configuration.",
        no_args_is_help=True,
        rich_markup_mode=None,  # plain help: it starts in a third of the time, and reads well in any terminal
        pretty_exceptions_enable=False,
    )
    app.callback()(_common)
    return app


def _print_version(given: bool) -> None:
    if given:
        from importlib.metadata import version

        typer.echo(f"unilatent {version('unilatent')}")
        raise typer.Exit


def _common(
    asked: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line. What a user can cause is one line on standard error; the exit status is not 0 then.

    The status is 1 after a mistake, 130 after Ctrl-C and 143 after SIGTERM. A mistake of ours shows its traceback. A
    reader of our standard output that has had enough (`head`) ends us without a line: typer sees to that.
    """
    for stream in (sys.stdout, sys.stderr):
        if os.name == "nt" and isinstance(stream, io.TextIOWrapper):  # Windows writes pipes in a code page of its own
            stream.reconfigure(encoding="utf-8")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for chatty in ("httpx", "datasets", "transformers", "matplotlib"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    with contextlib.suppress(ValueError):  # only the main thread handles signals
        signal.signal(signal.SIGTERM, partial(_terminate, os.getpid()))
    try:
        status = build_app()(_arguments(sys.argv), standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        status = _INTERRUPTED
    except (InputError, UsageError) as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help
            print(error, file=sys.stderr)
            sys.exit(2)
        _fail(_in_one_line(error))
    except Exception as error:
        if (line := _not_our_fault(error) or clash()) is None:
            traceback.print_exc()
            line = "this is a bug in unilatent, not your mistake; please report it with the lines above"
        _fail(line)
    if status == _INTERRUPTED:
        print("interrupted", file=sys.stderr)
    sys.exit(status)


def _arguments(given: list[str]) -> list[str]:
    """The arguments, with the files of sample data in the place of their names; InputError for an empty one.

    An empty path would be the working directory. What can be empty, or begin as it likes, is only text.
    """
    found = []
    for before, argument in itertools.pairwise(given):
        is_text = before in ("--separator", "--text")
        if not (argument or is_text):
            raise InputError(f"the argument after {before!r} is empty; is a variable of the shell not set?")
        found.append(argument if is_text or given[1] == "configs" else data_path(argument))
    return found


def _fail(line: str) -> NoReturn:
    first = os.environ.get("RANK", "0") == "0"  # under torchrun every rank finds the same mistake
    sys.exit(f"error: {line}" if first else 1)


def _terminate(process: int, number: int, _: object) -> NoReturn:
    if os.getpid() != process:  # a worker, which has inherited this handler
        os._exit(128 + number)
    print("terminated", file=sys.stderr)
    sys.exit(128 + number)


def _not_our_fault(error: Exception) -> str | None:
    """The line for what the machine refuses and for input that is too much for it; None for a mistake of ours."""
    reason = next(iter(str(error).strip().splitlines()), "")
    if isinstance(error, OSError) and error.strerror:
        return str(InputError(f"{error.filename}: {error.strerror}" if error.filename else error.strerror))
    if type(error) is Exception and "(os error " in reason:  # what tokenizers raises for a full disk
        return str(InputError(reason))
    if isinstance(error, RecursionError):
        return "the input is nested too deeply"
    if is_out_of_memory(error):
        advice = "try smaller batches (max_tokens, max_sentences), a smaller beam or a smaller model"
        return str(InputError(f"out of memory; {advice}" + (f" ({reason})" if reason else "")))
    return None


def _in_one_line(error: InputError | UsageError) -> str:
    if isinstance(error, InputError):
        return str(error)
    message = error.format_message().removesuffix(".").replace("Value error, ", "").replace("Input should", "must")
    return str(InputError(f"{message}; see `{error.ctx.command_path if error.ctx else 'unilatent'} --help`"))
