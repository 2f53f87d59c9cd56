"""The verb of recognition: transcribe. It parses, calls and prints."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unilatent import completion
from unilatent.commands.precision import SpeechPrecision
from unilatent.commands.sharing import RayAddress, ShardOption, Workers, cluster_of
from unilatent.commands.text import TrustImports

if TYPE_CHECKING:
    from latent.audio.arriving import ArrivingAudio
    from latent.recognition.files import Summary
    from latent.recognition.live import LiveChunk
    from latent.recognition.recognizer import Recognizer
    from latent.recognition.words import WordAligner


def transcribe(
    recognizer: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT",
            autocompletion=completion.runs,
            help="A run of a recognizer, or released VibeVoice-ASR or VibeVoice-ASR-Streaming weights; a folder or a "
            "hub id.",
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY.PATH=VALUE",
            autocompletion=completion.listening_keys,
            help="Options of the decoder: `decoder.beam_size=4`, `decoder.noise=true`, `decoder.seed=7`.",
            show_default=False,
        ),
    ] = None,
    input: Annotated[
        str,
        typer.Option(
            "--input",
            help="A recording, a folder of them, or a manifest: JSON lines with `audio`, and optionally `id` and "
            "`language`. With --stream: a file that may still grow, or `-` for standard input.",
        ),
    ] = "-",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            help="File to write: .jsonl (everything), .txt (a line for each recording), .rttm, or of one recording "
            ".srt or .vtt.",
            show_default="transcript.jsonl; none with --stream",
        ),
    ] = None,
    hotwords: Annotated[
        Path | None, typer.Option(help="Text file with names and terms that may occur, one a line.")
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(
            help="Code of two letters, where a recording has none. VibeVoice finds it itself and only notes it."
        ),
    ] = None,
    words: Annotated[
        str | None,
        typer.Option(
            metavar="pocketsphinx|FOLDER",
            help="Find when each word is said, for .jsonl, .srt and .vtt: with pocketsphinx (English), or with what "
            "`prepare align-speech --save FOLDER` has learned of a language.",
        ),
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Print text while the audio arrives; needs VibeVoice-ASR-Streaming.")
    ] = False,
    rate: Annotated[
        int | None,
        typer.Option(min=1000, max=1_000_000, help="With --stream: samples of 16 bits without a header, in Hz."),
    ] = None,
    channels: Annotated[int, typer.Option(min=1, max=8, help="With --rate: interleaved channels, averaged.")] = 1,
    wait: Annotated[
        float, typer.Option(min=0, help="With --stream: seconds after which a file that does not grow has ended.")
    ] = 5.0,
    tokenizer: Annotated[
        str | None, typer.Option(help="The text tokenizer, a folder or a hub id, instead of the checkpoint's own.")
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="Of a run: a step or a safetensors file, instead of the best weights.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Commit, branch or tag of a checkpoint on the hub.")] = None,
    max_rows: Annotated[int, typer.Option(min=1, help="Maximum batch size.")] = 8,
    shard: ShardOption = None,
    ray: RayAddress = None,
    workers: Workers = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    precision: SpeechPrecision = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first recording that fails.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start over if the output exists.")] = False,
    trust_imports: TrustImports = False,
) -> None:
    """Write down what is said in recordings: text, speakers and times.

    The same command continues a job that was killed. A recording that fails is noted in OUTPUT.errors.jsonl and does
    not stop the others; the exit status is 1 only if all fail. For several GPUs: `torchrun --nproc-per-node 2
    --no-python unilatent transcribe ...`.
    """
    from latent.data.recognition_prompt import hot_words
    from latent.recognition.files import TranscribeOptions, transcribe_files
    from latent.recognition.inputs import find_recordings, read_hot_words
    from latent.recognition.recognizers import open_recognizer
    from s2s.durable import resumable
    from s2s.errors import InputError
    from s2s.generation.job_array import Shard
    from s2s.ranks import join_ranks

    context = hot_words(read_hot_words(hotwords))
    if input == "-" and not stream:
        raise InputError("transcribe: give --input, a recording, a folder or a manifest; --stream reads standard input")
    if rate is not None and not stream:
        raise InputError("--rate: is for --stream; files know their rate")
    if words is not None and stream:
        raise InputError("--words: needs whole recordings; leave --stream out")
    if shard is not None and stream:
        raise InputError("--shard: divides many recordings; leave --stream out")
    if ray is not None and stream:
        raise InputError("--ray: shares many recordings; leave --stream out")
    cluster = cluster_of(ray, workers, device)
    part = None if shard is None else Shard.parse(shard)
    aligner = None if words is None else _word_aligner(words, language)
    recordings = [] if stream else find_recordings(Path(input))
    load = partial(
        open_recognizer,
        recognizer,
        tokenizer,
        overrides=overrides or (),
        checkpoint_name=checkpoint,
        revision=revision,
        precision=None if precision is None else precision.value,
    )
    options = TranscribeOptions(max_rows, context, language, overwrite, strict, aligner, part)
    lines = output or Path("transcript.jsonl")
    if cluster is not None:
        from latent.recognition.on_cluster import transcribe_on_cluster

        with resumable():
            _report(transcribe_on_cluster(load, recordings, lines, options, cluster), lines)
        return
    with join_ranks(device) as ranks, nullcontext() if stream else resumable():
        if stream and ranks.size > 1:
            raise InputError("--stream: runs in one process; start it without torchrun")
        opened = load(device=ranks.device)
        if language is not None and opened.finds_language and ranks.first:
            typer.echo(f"{opened.name}: finds the language itself; {language!r} is only noted", err=True)
        if stream:
            with _arriving(input, rate, channels, wait) as arriving:
                _follow(opened, arriving, context, output, overwrite)
            return
        summary = transcribe_files(opened, recordings, lines, ranks, options)
    _report(summary, lines, ranks.first)


def _report(summary: Summary, output: Path, aloud: bool = True) -> None:
    """Say what was made; exit with 1 if nothing was."""
    if aloud:
        typer.echo(f"{output}: {summary}", err=True)
    if summary.failed == summary.recordings > 0:
        raise typer.Exit(1)


def _word_aligner(name: str, language: str | None) -> WordAligner:
    """What `--words` names; InputError if it does not align `--language`."""
    from data_prep.aligners.spoken_words import open_word_aligner
    from s2s.errors import InputError

    aligner = open_word_aligner(name)
    if language is not None and (reason := aligner.refusal(language)) is not None:
        raise InputError(f"--words: {reason}")
    return aligner


@contextmanager
def _arriving(source: str, rate: int | None, channels: int, wait: float) -> Iterator[ArrivingAudio]:
    """The audio of standard input, whose end is its end, or of a file that may grow."""
    from latent.audio.arriving import ArrivingAudio, SampleFormat
    from s2s.errors import InputError

    given = None if rate is None else SampleFormat(rate, channels)
    if source == "-":
        with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as file:
            yield ArrivingAudio(file, "standard input", given)
        return
    try:
        with open(source, "rb", buffering=0) as file:
            yield ArrivingAudio(file, source, given, wait)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"{source}: cannot be read: {error.strerror}") from error


def _follow(
    recognizer: Recognizer, arriving: ArrivingAudio, context: str, output: Path | None, overwrite: bool
) -> None:
    """Print what is said while it arrives: text to standard output, what else there is to say to standard error."""
    from latent.recognition.formats import transcript_format, transcript_lines
    from s2s.durable import WAY_OUT, write_whole
    from s2s.errors import InputError

    if output is not None:
        format = transcript_format(output, 1)
        if output.exists() and not overwrite:
            raise InputError(f"{output}: exists already; {WAY_OUT}")
    recognizer.check_context(context)
    live = recognizer.follow(arriving.format.sample_rate, context)
    minutes = recognizer.max_seconds / 60
    typer.echo(f"{recognizer.name}: remembers about {minutes:.0f} minutes, then begins anew", err=True)
    with suppress(KeyboardInterrupt):  # then the rest is printed and written too
        for samples in arriving:
            _print(live.push(samples))
    _print(live.close())
    if output is not None:
        lines = transcript_lines("stream", live.transcript(), format)
        write_whole(output, "".join(f"{line}\n" for line in lines).encode())


def _print(chunks: Iterable[LiveChunk]) -> None:
    for chunk in chunks:
        for speaker, said in chunk.turns:
            label = "" if speaker == "?" else f"Speaker {speaker}: "
            typer.echo(f"[{_clock(chunk.start)}] {label}{said}")
        sys.stdout.flush()
        for warning in chunk.warnings:
            typer.echo(f"[{_clock(chunk.start)}] warning: {warning}", err=True)
        typer.echo(f"[{_clock(chunk.start)} to {_clock(chunk.end)}] {chunk.work_seconds:.2f} s of work", err=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{int(minutes)}:{rest:04.1f}"
