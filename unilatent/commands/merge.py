"""The verb `merge`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unilatent import completion
from unilatent.commands.text import TrustImports


def merge(
    run: Annotated[Path, typer.Argument(help="A run folder of adapters.", autocompletion=completion.runs)],
    output: Annotated[Path, typer.Option(help="The folder to write.")],
    checkpoint: Annotated[
        str | None, typer.Option(help="Checkpoint step or safetensors file. Default: the best weights.")
    ] = None,
    trust_imports: TrustImports = False,
) -> None:
    """Join adapters and their base: the result computes the same, and needs neither of them.

    It is a run folder like any other; or, of a fine-tuned VibeVoice, a checkpoint in the layout of its base.
    """
    from latent.models.families import tuned_model
    from latent.tuned_vibevoice import write_tuned
    from s2s.merging import merge_run

    join = write_tuned if tuned_model(run) else merge_run
    join(run, output, checkpoint)
    typer.echo(f"{output}: written", err=True)
