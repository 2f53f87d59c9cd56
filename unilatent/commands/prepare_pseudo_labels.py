"""The sub-command `unilatent prepare pseudo-labels`: a corpus with what a teacher writes for its sources."""

from __future__ import annotations

from typing import Annotated

import typer

from unilatent import completion
from unilatent.commands.text import (
    KEY_VALUE,
    Checkpoint,
    Device,
    InferencePrecision,
    InputFormat,
    MaxSentences,
    MaxTokens,
    Overwrite,
    Precision,
    Revision,
    SourceField,
    Strict,
    TrustImports,
    Window,
    as_overrides,
)

app = typer.Typer()


@app.command(short_help="A corpus with what a teacher writes for it, to train a student.")
def pseudo_labels(
    run: Annotated[
        str,
        typer.Argument(
            help="The teacher: a run folder, a shipped name, or USER/NAME on the hub.", autocompletion=completion.runs
        ),
    ],
    input: Annotated[str, typer.Argument(help="The corpus, in any format that `train` reads.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar=KEY_VALUE,
            help="Options to override, such as `decoder.attention_temperature=2`.",
            show_default=False,
            autocompletion=completion.decoding_keys,
        ),
    ] = None,
    *,
    output: Annotated[str, typer.Option(help="JSON lines to write: .jsonl, also .gz, .bz2, .xz, .zst.")],
    source_field: SourceField = None,
    format: Annotated[
        InputFormat | None, typer.Option("--format", help="Format of the corpus, if its name does not tell.")
    ] = None,
    checkpoint: Checkpoint = None,
    revision: Revision = None,
    max_tokens: MaxTokens = 4096,
    max_sentences: MaxSentences = 64,
    window: Window = 4096,
    device: Device = "auto",
    precision: InferencePrecision = Precision.float32,
    strict: Strict = False,
    overwrite: Overwrite = False,
    trust_imports: TrustImports = False,
) -> None:
    """Write a corpus again, each record with `tgt_pseudo`: what the teacher writes for its source.

    Train a student on it with `task.labels=pseudo` or `task.labels=both`. `decoder.attention_temperature=2` makes the
    labels as PLATE does. The same command continues a job that was killed; torchrun shares it among processes.
    """
    from s2s.durable import resumable
    from s2s.generation.decode import DecodeOptions
    from s2s.generation.generator import Generator
    from s2s.generation.pseudo_labels import label_file
    from s2s.ranks import join_ranks

    changes = as_overrides(source_field, None, overrides, strict)
    known = None if format is None else format.value
    options = DecodeOptions(
        max_tokens=max_tokens,
        max_sentences=max_sentences,
        window=window,
        strict=strict,
        overwrite=overwrite,
        format=known,
    )
    with resumable(), join_ranks(device) as ranks:
        teacher = Generator.load(
            run, checkpoint, revision, device=ranks.device, precision=precision.value, overrides=changes
        )
        summary = label_file(teacher, input, output, options, ranks)
    if ranks.first:
        summary.refuse_failure(input)
        typer.echo(f"{output}: {summary.lines - summary.failed:,} of {summary.lines:,} records with pseudo-labels")
