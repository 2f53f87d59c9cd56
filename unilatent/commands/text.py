"""The verbs of s2s: train, decode, rerank, average. Each parses, calls and prints."""

from __future__ import annotations

import json
import math
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from s2s.registry import search_working_directory, trusting_imports
from unilatent import completion
from unilatent.commands.precision import InferencePrecision, NoTuning, Precision
from unilatent.commands.sharing import RayAddress, ShardOption, Workers, cluster_of, window_for

KEY_VALUE = "KEY.PATH=VALUE"


def _trust(context: typer.Context, given: bool) -> bool:
    if given:
        context.with_resource(trusting_imports())
        search_working_directory()  # the code may lie there, and the user has asked for it
    return given


SourceField = Annotated[
    str | None,
    typer.Option(help="Field that holds the source; `task.source_field`. Well-known names are found without it."),
]
TargetField = Annotated[str | None, typer.Option(help="Field that holds the target; `task.target_field`.")]


def _fields(source: str | None, target: str | None) -> list[str]:
    """The overrides that these options stand for."""
    given = {"task.source_field": source, "task.target_field": target}
    return [f"{key}={json.dumps(name)}" for key, name in given.items() if name is not None]


def as_overrides(source: str | None, target: str | None, given: list[str] | None, strict: bool) -> list[str]:
    """The overrides of a verb that decodes, with those that its options stand for."""
    return [*_fields(source, target), *(given or []), *(["task.strict=true"] if strict else [])]


TrustImports = Annotated[
    bool,
    typer.Option("--trust-imports", callback=_trust, help="Run code that the run brings (its `imports:`)."),
]
"""Taken by every verb that loads a run; the callback acts, so the verb has nothing to do."""


Profile = Annotated[
    Path | None,
    typer.Option(help="Folder for a trace and a table of where the time goes; give the command little to do."),
]


def train(
    config: Annotated[
        Path,
        typer.Argument(
            help="Configuration: a file (YAML), or a name that `unilatent configs` lists. `unilatent options` "
            "describes the keys.",
            autocompletion=completion.configs,
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar=KEY_VALUE,
            help="Options to override, such as `optim.lr=1e-4`.",
            show_default=False,
            autocompletion=completion.training_keys,
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="The run folder.", show_default="runs/NAME OF CONFIG")] = None,
    source_field: SourceField = None,
    target_field: TargetField = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print sizes, lengths, what is cut, time and memory, and write nothing."),
    ] = False,
    profile: Annotated[
        Path | None,
        typer.Option(help="Folder for a trace and a table of some updates. Like --dry-run, it trains nothing."),
    ] = None,
    no_tuning: NoTuning = False,
    trust_imports: TrustImports = False,
) -> None:
    """Train a model into a run folder. The same command continues a run that was stopped or killed.

    A larger `train.max_steps` or `train.epochs` makes a run longer, also after its end, if that changes none of the
    learning rates so far (constant, inverse_sqrt, wsd before its decay, all during the warm-up).

    The run folder holds the resolved configuration, the tokenizer, the best weights, checkpoints and logs; decoding
    needs nothing else. For several GPUs: `torchrun --nproc-per-node 2 --no-python unilatent train ...`.
    """
    from s2s import run

    changes = [*_fields(source_field, target_field), *(overrides or [])]
    if dry_run or profile is not None:
        from s2s.rehearsal import rehearse

        typer.echo(rehearse(run.load_config(config, changes), output or Path("runs") / config.stem, profile))
        return
    result = run.train(config, output, changes)
    if result.signal:
        raise SystemExit(128 + result.signal)


class InputFormat(str, Enum):
    """Formats that are lines."""

    jsonl = "jsonl"
    text = "text"
    csv = "csv"
    tsv = "tsv"


# What the verbs that decode a file share.
Checkpoint = Annotated[str | None, typer.Option(help="Checkpoint step or safetensors file. Default: the best weights.")]
Revision = Annotated[str | None, typer.Option(help="Commit, branch or tag of a run on the hub.")]
MaxTokens = Annotated[int, typer.Option(min=1, max=2**31 - 1, help="Maximum source tokens per batch.")]
MaxSentences = Annotated[int, typer.Option(min=1, max=2**31 - 1, help="Maximum sentences per batch.")]
Window = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=2**31 - 1,
        help="Number of lines that are read and sorted by length at a time.",
        show_default="4096; 512 with --ray",
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first line that cannot be used.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Start over if the output exists.")]


def decode(
    run: Annotated[
        str,
        typer.Argument(
            help="The run folder of a trained model, a shipped name (`summarizer`), or USER/NAME on the hub.",
            autocompletion=completion.runs,
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar=KEY_VALUE,
            help="Options to override, such as `decoder.beam_size=8`.",
            show_default=False,
            autocompletion=completion.decoding_keys,
        ),
    ] = None,
    input: Annotated[
        str,
        typer.Option(
            "--input",
            help="JSON lines, CSV, TSV, Parquet or text (also .gz, .bz2, .xz, .zst), a folder of them, or a hub id; "
            "`-` reads standard input.",
        ),
    ] = "-",
    output: Annotated[
        str,
        typer.Option(
            "--output",
            help="File to write: .jsonl, .txt, .csv, .tsv (also .gz, .bz2, .xz, .zst) or .parquet; `-` is standard "
            "output: text if the input is text, else JSON lines.",
        ),
    ] = "-",
    source_field: SourceField = None,
    target_field: TargetField = None,
    format: Annotated[
        InputFormat | None, typer.Option("--format", help="Format of the input, if its name does not tell.")
    ] = None,
    checkpoint: Checkpoint = None,
    revision: Revision = None,
    max_tokens: MaxTokens = 4096,
    max_sentences: MaxSentences = 64,
    window: Window = None,
    trace: Annotated[
        str | None, typer.Option(help="File for the traces of the beam search, which `unilatent rerank` reads.")
    ] = None,
    shard: ShardOption = None,
    ray: RayAddress = None,
    workers: Workers = None,
    device: Device = "auto",
    precision: InferencePrecision = Precision.float32,
    no_tuning: NoTuning = False,
    strict: Strict = False,
    overwrite: Overwrite = False,
    profile: Profile = None,
    trust_imports: TrustImports = False,
) -> None:
    """Generate an output for every line or row of the input, in its order.

    `echo text | unilatent decode RUN` gives text. The same command continues a job that was killed. What cannot be used
    is reported in OUTPUT.errors.jsonl and does not stop the rest; the exit status is 1 only if nothing could be used.
    Options of the decoder are given as `decoder.beam_size=8 decoder.length_penalty=0.9`.
    """
    from contextlib import nullcontext
    from functools import partial

    from s2s.durable import resumable
    from s2s.generation.decode import DecodeOptions, decode_file
    from s2s.generation.generator import Generator
    from s2s.generation.job_array import Shard
    from s2s.profiling import profiled
    from s2s.ranks import join_ranks

    changes = as_overrides(source_field, target_field, overrides, strict)
    options = DecodeOptions(
        max_tokens=max_tokens,
        max_sentences=max_sentences,
        window=window_for(window, ray),
        strict=strict,
        overwrite=overwrite,
        format=None if format is None else format.value,
        shard=None if shard is None else Shard.parse(shard),
    )
    load = partial(Generator.load, run, checkpoint, revision, precision=precision.value, overrides=changes)
    cluster = cluster_of(ray, workers, device, trace=trace, profile=profile)
    if cluster is not None:
        from s2s.cluster.decoding import decode_on_cluster

        with resumable():
            decode_on_cluster(load, input, output, options, cluster).refuse_failure(input)
        return
    with nullcontext() if "-" in (input, output) else resumable(), join_ranks(device) as ranks:
        generator = load(device=ranks.device)
        with profiled(profile):
            summary = decode_file(generator, input, output, options, ranks, trace)
    if ranks.first:
        summary.refuse_failure(input)


def _finite(value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"must be a finite number, found {value}")
    return value


class Form(str, Enum):
    """What a length penalty is the power of; see `s2s.decoding.ranking`."""

    gnmt = "gnmt"
    power = "power"


def rerank(
    run: Annotated[Path, typer.Argument(help="The run folder that `decode` used.", autocompletion=completion.runs)],
    trace: Annotated[Path, typer.Option(help="The file that `decode --trace` wrote.")],
    output: Annotated[str, typer.Option(help="Output file; `-` writes to standard output.")] = "-",
    length_penalty: Annotated[
        float | None, typer.Option(min=0, max=20, callback=_finite, help="Divide scores by the length to this power.")
    ] = None,
    length_penalty_form: Annotated[
        Form | None,
        typer.Option(help="gnmt: the length is (5 + length) / 6; power: it is the length.", show_default="gnmt"),
    ] = None,
    length_reward: Annotated[
        float | None, typer.Option(callback=_finite, help="Add this to the score for each token.")
    ] = None,
    expected_length: Annotated[
        float | None,
        typer.Option(min=0, callback=_finite, help="Subtract --length-reward for each token away from this length."),
    ] = None,
    num_hypotheses: Annotated[int, typer.Option(min=1, help="Outputs per sentence.")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")] = False,
    trust_imports: TrustImports = False,
) -> None:
    """Rank the hypotheses of a beam search again by another length penalty, without running the model."""
    from s2s.decoding import ranking
    from s2s.errors import InputError
    from s2s.generation.rerank import rerank_file
    from s2s.run import build_generation_task, read_run

    if (length_penalty is None) == (length_reward is None):
        raise InputError("rerank: give either --length-penalty or --length-reward")
    if expected_length is not None and length_reward is None:
        raise InputError("--expected-length: needs --length-reward")
    if length_penalty_form is not None and length_penalty is None:
        raise InputError("--length-penalty-form: needs --length-penalty")
    by_length = ranking.power if length_penalty_form == Form.power else ranking.gnmt
    rank = (
        by_length(length_penalty)
        if length_penalty is not None
        else ranking.length_reward(length_reward or 0.0, expected_length)
    )
    task = build_generation_task(read_run(run), run)
    rerank_file(task, trace, output, rank, num_hypotheses, overwrite)


def average(
    checkpoints: Annotated[list[Path], typer.Argument(help="Checkpoint folders of one run, or safetensors files.")],
    output: Annotated[Path, typer.Option(help="The safetensors file to write; use it with `decode --checkpoint`.")],
) -> None:
    """Average the weights of several checkpoints."""
    from s2s.checkpoint import average_checkpoints

    average_checkpoints(checkpoints, output)
    typer.echo(f"{output}: mean of {len(checkpoints)} checkpoints", err=True)


def fairseq_plugin() -> None:
    """Print the folder of our task, model and criterion for fairseq: `fairseq-train --user-dir "$(unilatent ...)"`."""
    from importlib.util import find_spec

    spec = find_spec("s2s")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    typer.echo(Path(spec.submodule_search_locations[0]) / "fairseq_plugin")
