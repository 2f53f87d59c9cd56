"""The verb `configs`: the configurations, models and data that come with unilatent."""

from __future__ import annotations

import shutil
import textwrap
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from s2s import shipped
from s2s.errors import InputError
from s2s.registry import nearest

app = typer.Typer()

_LISTS = {
    "Configurations, for `unilatent train NAME`:": shipped.configs,
    "Models, for `unilatent synthesize NAME` and `unilatent decode NAME`:": shipped.runs,
    "Sample data, for options and arguments that name a file (`sample:en/test.jsonl`) or folder:": shipped.samples,
}


@app.callback(invoke_without_command=True)
def configs(context: typer.Context) -> None:
    """List the configurations, models and sample data that come with unilatent; `show` and `copy` are sub-commands."""
    if context.invoked_subcommand:
        return
    width = max(map(len, _all()))
    for title, found in _LISTS.items():
        typer.echo(title)
        for name, path in found().items():
            purpose, costs, needs = shipped.about(path)
            lines = [purpose, *(f"{label}: {fact}" for label, fact in (("Costs", costs), ("Needs", needs)) if fact)]
            typer.echo(f"  {name:{width}}  {_indented(lines, width + 4)}")
        typer.echo()
    typer.echo("`unilatent configs show NAME` prints one, `unilatent configs copy NAME` makes a copy to change.")


def _indented(lines: list[str], indent: int) -> str:
    """Lines below one another, the second and later ones further to the right, wrapped to the terminal."""
    wrap = partial(textwrap.wrap, break_on_hyphens=False, width=_columns() - indent)
    parts = [*wrap(lines[0]), *(f"  {part}" for line in lines[1:] for part in wrap(line))]
    return f"\n{'':{indent}}".join(parts)


def _columns() -> int:
    return max(80, min(shutil.get_terminal_size().columns, 120))


def _complete(incomplete: str) -> list[str]:
    """Without sample data, whose colon bash takes for the end of a word."""
    return [name for name in {**shipped.configs(), **shipped.runs()} if name.startswith(incomplete)]


Name = Annotated[
    str, typer.Argument(help="A name that `unilatent configs` lists.", autocompletion=_complete, show_default=False)
]


@app.command()
def show(name: Name) -> None:
    """Print a configuration, or the card of a model or of sample data."""
    path = _find(name)
    typer.echo((path if path.is_file() else shipped.card_of(path)).read_text(encoding="utf-8").rstrip())


@app.command()
def copy(
    name: Name,
    output: Annotated[
        Path | None, typer.Argument(help="The file or folder to write.", show_default="NAME.yaml, or NAME for a folder")
    ] = None,
) -> None:
    """Copy a configuration, a model or sample data, to change or to keep."""
    path = _find(name)
    target = output or Path(path.name if path.is_file() else name.removeprefix(shipped.PREFIX))
    if target.exists():
        raise InputError(f"{target}: exists already; name another file or folder to write")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copyfile if path.is_file() else shutil.copytree)(path, target)
    except shutil.Error as error:
        raise InputError(f"{target}: cannot be written: {error.args[0][0][2]}") from error
    typer.echo(f"{target}: written", err=True)


def _all() -> dict[str, Path]:
    return {name: path for found in _LISTS.values() for name, path in found().items()}


def _find(name: str) -> Path:
    known = _all()
    if name not in known:
        raise InputError(f"{name}: nothing of this name comes with unilatent{nearest(name, known)}")
    return known[name]
