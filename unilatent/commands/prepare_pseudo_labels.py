"""The sub-command `unilatent prepare pseudo-labels`: a corpus with what a teacher writes for its sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from unilatent import completion
from unilatent.commands.precision import InferencePrecision, Precision
from unilatent.commands.sharing import RayAddress, ShardOption, Workers, cluster_of, window_for
from unilatent.commands.text import (
    KEY_VALUE,
    Checkpoint,
    Device,
    InputFormat,
    MaxSentences,
    MaxTokens,
    Overwrite,
    Revision,
    SourceField,
    Strict,
    TrustImports,
    Window,
    as_overrides,
)

if TYPE_CHECKING:
    from s2s.generation.decode import Summary

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
    window: Window = None,
    shard: ShardOption = None,
    ray: RayAddress = None,
    workers: Workers = None,
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
    from functools import partial

    from s2s.durable import resumable
    from s2s.generation.decode import DecodeOptions
    from s2s.generation.generator import Generator
    from s2s.generation.job_array import Shard
    from s2s.generation.pseudo_labels import check_labels, label_file, labeling
    from s2s.ranks import join_ranks

    changes = as_overrides(source_field, None, overrides, strict)
    known = None if format is None else format.value
    options = DecodeOptions(
        max_tokens=max_tokens,
        max_sentences=max_sentences,
        window=window_for(window, ray),
        strict=strict,
        overwrite=overwrite,
        format=known,
        shard=None if shard is None else Shard.parse(shard),
    )
    load = partial(Generator.load, run, checkpoint, revision, precision=precision.value, overrides=changes)
    cluster = cluster_of(ray, workers, device)
    if cluster is not None:
        from s2s.cluster.decoding import decode_on_cluster

        check_labels(output)
        with resumable():
            _report(decode_on_cluster(load, input, output, options, cluster, labeling), input, output)
        return
    with resumable(), join_ranks(device) as ranks:
        summary = label_file(load(device=ranks.device), input, output, options, ranks)
    if ranks.first:
        _report(summary, input, output)


def _report(summary: Summary, source: str, output: str) -> None:
    summary.refuse_failure(source)
    typer.echo(f"{output}: {summary.lines - summary.failed:,} of {summary.lines:,} records with pseudo-labels")
