"""The verb `unilatent prepare`: one sub-command for each corpus or format, files in, JSON lines and a data card out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from data_prep.speech_commands import app as speech_app

app = typer.Typer(no_args_is_help=True, help="Make {train,valid,test}.jsonl and a data card from a corpus or a format.")
app.add_typer(speech_app)  # speech corpora stand beside the text ones

Out = Annotated[Path, typer.Argument(help="Folder to write {train,valid,test}.jsonl and DATA_CARD.md to.")]


@app.command()
def debian_synopsis(
    out: Annotated[Path, typer.Argument(help="Folder that gets one folder for each language.")],
    language: Annotated[list[str], typer.Option(help="Language of the descriptions; may be repeated.")] = ["en"],  # noqa: B006 (typer's)
    packages: Annotated[
        list[Path] | None, typer.Option(help="A Packages file, instead of this system's lists.")
    ] = None,
    translation: Annotated[
        list[Path] | None, typer.Option(help="A Translation-LANGUAGE file for --packages; may be repeated.")
    ] = None,
) -> None:
    """Headline generation: descriptions of Debian packages and their synopses, from this system's package lists.

    Without --packages the lists are fetched by apt-get into a temporary folder: on a Debian system, without root.
    """
    import tempfile

    from data_prep.debian_synopsis import write
    from data_prep.package_lists import fetch_lists, given_lists

    if packages or translation:
        summaries = write(out, given_lists(packages or [], translation or []), language)
    else:
        with tempfile.TemporaryDirectory() as folder:
            summaries = write(out, fetch_lists(Path(folder), language), language)
    typer.echo("\n".join(summaries))


@app.command()
def subset(
    corpus: Annotated[Path, typer.Argument(help="Folder of a prepared corpus.")],
    out: Out,
    train: Annotated[int, typer.Option(min=0, help="Pairs of train.jsonl.")],
    valid: Annotated[int, typer.Option(min=0, help="Pairs of valid.jsonl.")],
    test: Annotated[int, typer.Option(min=0, help="Pairs of test.jsonl.")],
) -> None:
    """A smaller corpus out of a prepared one: the same pairs on every machine, and none in train that gives test away."""
    from data_prep.subset import write

    typer.echo(write(out, corpus, {"train": train, "valid": valid, "test": test}))
