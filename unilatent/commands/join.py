"""The verb `unilatent join`: one output from those of the tasks of a job array."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def join(
    output: Annotated[Path, typer.Argument(help="The output, as each task got it by --output.")],
    remove: Annotated[bool, typer.Option("--remove", help="Remove the files of the shards afterwards.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")] = False,
) -> None:
    """Join the outputs of all shards, in order: the file that one process writes, with its errors.

    `decode --output out.jsonl --shard 3/8` writes out.shard-3-of-8.jsonl; so do `transcribe` and `prepare
    pseudo-labels`. Shards that are missing or not finished are listed, and nothing is written.
    """
    from s2s.generation.job_array import join_shards

    typer.echo(f"{output}: {join_shards(output, overwrite, remove)}", err=True)
