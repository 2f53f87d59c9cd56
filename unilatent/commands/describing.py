"""The verbs that describe: show (a run) and options (of a configuration)."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from unilatent import completion


def show(run: Annotated[Path, typer.Argument(help="A run folder.", autocompletion=completion.runs)]) -> None:
    """Print the configuration of a run, the size of its model, its checkpoints and its last losses."""
    from s2s.describe import describe_run

    typer.echo(describe_run(run))


class Kind(str, Enum):
    """Sections of the configuration."""

    task = "task"
    model = "model"
    criterion = "criterion"
    decoder = "decoder"
    optim = "optim"
    train = "train"


def _names(context: typer.Context, incomplete: str) -> list[str]:
    kind = getattr(context.params.get("kind"), "value", context.params.get("kind"))
    known = completion.class_names(kind) if kind in completion.NAMED else []
    return [name for name in known if name.startswith(incomplete)]


def options(
    kind: Annotated[
        Kind | None, typer.Argument(help="A section of the configuration; all sections and names if left out.")
    ] = None,
    name: Annotated[
        str | None, typer.Argument(help="Which task, model, criterion or decoder.", autocompletion=_names)
    ] = None,
    imports: Annotated[
        list[str] | None, typer.Option("--import", help="A module of yours that registers more classes.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Print facts about checkpoints and architectures too.")
    ] = False,
) -> None:
    """Print the options of a configuration: key paths, types, defaults, ranges and what they mean."""
    from s2s.describe import describe_options

    typer.echo(describe_options(kind.value if kind else None, name, imports or [], everything))
