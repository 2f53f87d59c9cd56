"""The verb `unilatent join`: one output from those of the tasks of a job array."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from s2s.generation.shard_folders import ShardFolder


def join(
    output: Annotated[Path, typer.Argument(help="The output, as each task got it by --output.")],
    remove: Annotated[bool, typer.Option("--remove", help="Remove the files of the shards afterwards.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")] = False,
) -> None:
    """Join the outputs of all shards, in order: the file or folder that one process writes, with its errors.

    `decode --output out.jsonl --shard 3/8` writes out.shard-3-of-8.jsonl; so do `transcribe`, `synthesize --input`,
    `encode` and `prepare`. Shards that are missing or not finished are listed, and nothing is written.
    """
    from s2s.generation.job_array import join_shards
    from s2s.generation.shard_folders import folders_of, is_divided_folder, remove_shards

    if not is_divided_folder(output):
        typer.echo(f"{output}: {join_shards(output, overwrite, remove)}", err=True)
        return
    shards = folders_of(output)
    summary = _joiner_of(shards[0].kind)(output, shards, overwrite)
    if remove:
        remove_shards(shards)
    typer.echo(f"{output}: {summary}", err=True)


def _joiner_of(kind: str) -> Callable[[Path, Sequence[ShardFolder], bool], str]:
    """What joins shards that hold something of a kind."""
    from data_prep.pretrain_text.joining import join_preparations
    from data_prep.pretrain_text.preparation import TOKENIZED
    from data_prep.speech_corpus import SPEECH, join_speech_corpora
    from latent.data.image_store import IMAGE_LATENTS, join_image_stores
    from latent.data.latent_store import LATENTS, join_stores
    from latent.file_job import FILES, join_file_jobs
    from s2s.errors import InputError

    joiners = {
        FILES: join_file_jobs,
        LATENTS: join_stores,
        IMAGE_LATENTS: join_image_stores,
        TOKENIZED: join_preparations,
        SPEECH: join_speech_corpora,
    }
    if kind not in joiners:
        raise InputError(f"shards of {kind!r}: are none that this version joins; expected {', '.join(joiners)}")
    return joiners[kind]
