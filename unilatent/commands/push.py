"""The verb `push`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unilatent import completion
from unilatent.commands.text import TrustImports


def push(
    run: Annotated[Path, typer.Argument(help="A run folder.", autocompletion=completion.runs)],
    repository: Annotated[str, typer.Argument(metavar="USER/NAME", help="The repository; created if there is none.")],
    revision: Annotated[str | None, typer.Option(help="The branch to write to; created if there is none.")] = None,
    message: Annotated[str | None, typer.Option(help="Message of the commit.", show_default="Upload RUN")] = None,
    private: Annotated[bool, typer.Option("--private/--public", help="Who may read a new repository.")] = True,
    trust_imports: TrustImports = False,
) -> None:
    """Upload a run to the Hugging Face hub with its model card, so that others load it as USER/NAME.

    Log in first with `hf auth login`. Checkpoints, logs and the fingerprints of the data stay here. A text run without
    a MODEL_CARD.md gets one. A voice becomes public only when its card is complete.
    """
    from s2s import publishing

    address = publishing.push(run, repository, revision=revision, message=message, private=private)
    typer.echo(address)
