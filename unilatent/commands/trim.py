"""The verb `trim`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from unilatent import completion
from unilatent.commands.text import TrustImports


class Stored(str, Enum):
    """Precision of weights on the disk."""

    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


def trim(
    run: Annotated[Path, typer.Argument(help="A run folder.", autocompletion=completion.runs)],
    output: Annotated[Path, typer.Argument(help="The run folder to write.")],
    texts: Annotated[
        list[str], typer.Option(help="Records whose texts the vocabulary should cover, such as the training data.")
    ],
    size: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of pieces.", show_default="all that the texts need")
    ] = None,
    precision: Annotated[
        Stored, typer.Option(help="Precision of the weights on the disk; loading makes them float32.")
    ] = Stored.float32,
    checkpoint: Annotated[
        str | None, typer.Option(help="Checkpoint step or safetensors file. Default: the best weights.")
    ] = None,
    trust_imports: TrustImports = False,
) -> None:
    """Make a run smaller: keep only the vocabulary that some texts need, and store weights in half precision.

    Special tokens and single characters stay, so any word can still be written; a word whose pieces are gone is written
    as more, smaller ones. The scores of the pieces that stay do not change.
    """
    from s2s.trim import trim_run

    typer.echo(f"{output}: {trim_run(run, output, texts, size, precision.value, checkpoint)}", err=True)
