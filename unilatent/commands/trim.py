"""The verb `trim`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from s2s.errors import InputError
from unilatent import completion
from unilatent.commands.text import TrustImports


class Stored(str, Enum):
    """Precision of weights on the disk."""

    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"
    int8 = "int8"


def trim(
    run: Annotated[
        Path, typer.Argument(help="A run folder, or a folder with an encoder.", autocompletion=completion.runs)
    ],
    output: Annotated[Path, typer.Argument(help="The folder to write.")],
    texts: Annotated[
        list[str] | None,
        typer.Option(
            help="Records whose texts the vocabulary should cover, such as the training data.",
            show_default="keep the vocabulary",
        ),
    ] = None,
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
    """Make a run smaller: keep only the vocabulary that some texts need, and store weights in 16 or 8 bits.

    Any run can be stored in fewer bits, a voice with its audio tokenizer; only a text run, or an encoder to fine-tune
    (BERT, MiniLM, ...), has a vocabulary to trim.
    Special tokens and single characters stay, so any word can still be written; a word whose pieces are gone is written
    as more, smaller ones. The scores of the pieces that stay do not change.
    """
    from s2s.trim import holds_encoder, store_run, trim_encoder, trim_run

    if holds_encoder(run):
        if not texts:
            raise InputError(f"{run}: is an encoder, of which only the vocabulary can be trimmed; give --texts")
        if precision is not Stored.float32 or checkpoint is not None:
            raise InputError("--precision, --checkpoint: are for run folders; an encoder is written in float32")
        found = str(trim_encoder(run, output, texts, size))
    elif texts:
        found = str(trim_run(run, output, texts, size, precision.value, checkpoint))
    elif size is None:
        found = f"{store_run(run, output, precision.value, checkpoint):.1f} MB"
    else:
        raise InputError("--size: needs --texts, which decide what pieces are kept")
    typer.echo(f"{output}: {found}", err=True)
