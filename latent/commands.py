"""The verbs of latent: encode, synthesize, provenance. Each parses, calls, and prints."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from s2s.commands import TrustImports

if TYPE_CHECKING:
    from latent.synthesis.requests import Wishes
    from latent.synthesis.voice import Voice

Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY.PATH=VALUE", help="Options of the decoder, as `decoder.guidance_scale=1.5`."),
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]


class Format(str, Enum):
    """How a folder's files are written."""

    wav = "wav"
    flac = "flac"
    ogg = "ogg"


def encode(
    manifests: Annotated[list[Path], typer.Argument(help="JSON lines with `id`, `audio` and `text`; ids all differ.")],
    tokenizer: Annotated[Path, typer.Option(help="The run folder of an audio tokenizer.")],
    output: Annotated[Path, typer.Option(help="The folder that the latents go to.")],
    device: Device = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew if the output exists.")] = False,
    trust_imports: TrustImports = False,
) -> None:
    """Encode the recordings of manifests once, so that a speech model can be trained on their latents.

    The folder keeps a copy of the tokenizer, and so will every run that is trained on it.
    """
    from latent.encoding import encode_corpus
    from s2s.errors import InputError
    from s2s.ranks import join_ranks

    if (output / "store.json").exists() and not overwrite:
        raise InputError(f"{output}: holds latents already; give --overwrite to replace them, or another --output")
    with join_ranks(device) as ranks:
        if ranks.size > 1:
            raise InputError("encode: is the work of one process; start it without torchrun")
        facts = encode_corpus(manifests, tokenizer, output, ranks.device, show_progress=True)
    seconds = facts.num_frames * facts.hop_length / facts.sample_rate
    typer.echo(
        f"{output}: {facts.num_frames:,} latents of {facts.latent_size} numbers, {seconds / 3600:.2f} h, "
        f"mean {facts.mean:.3f}, spread {facts.latent_std:.3f}",
        err=True,
    )


def synthesize(
    run: Annotated[Path, typer.Argument(help="The run folder of a trained voice.")],
    overrides: Overrides = None,
    text: Annotated[str | None, typer.Option(help="What to say, into one file.")] = None,
    input: Annotated[
        str | None,
        typer.Option(
            "--input",
            help="Or JSON lines: `text`, and `id`, `speaker`, `voice`, `seed`, `temperature` if wanted; `-` is stdin.",
        ),
    ] = None,
    script: Annotated[
        Path | None, typer.Option(help="Or a script of any length, `Speaker 1: ...` or JSON, into one file.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            help="A .wav, .flac or .ogg file; with --input a folder.",
            show_default="speech.wav; with --input speech",
        ),
    ] = None,
    format: Annotated[Format, typer.Option("--format", help="Of the files of a folder.")] = Format.wav,
    speaker: Annotated[
        str | None, typer.Option(help="Who speaks, of those in RUN/MODEL_CARD.md, where a record does not say.")
    ] = None,
    voice: Annotated[Path | None, typer.Option(help="A recording of the voice to speak in, likewise.")] = None,
    consent: Annotated[
        bool,
        typer.Option(
            "--i-have-consent", help="Its speaker agreed; needed once for each recording, and noted beside it."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="The same seed gives the same speech.")] = 0,
    temperature: Annotated[
        float | None, typer.Option(min=0, help="Less than 1 is tamer.", show_default="the voice's decoder.temperature")
    ] = None,
    tokenizer: Annotated[
        Path | None, typer.Option(help="Another run of the audio tokenizer than the voice's own.")
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="A step or a safetensors file, instead of the best weights.")
    ] = None,
    cast: Annotated[
        list[str] | None, typer.Option(help="Of a script: `Speaker 1=NAME`, a speaker or a recording; repeat for more.")
    ] = None,
    pause: Annotated[float, typer.Option(min=0, help="Of a script: seconds of silence after a line.")] = 0.4,
    max_characters: Annotated[
        int | None,
        typer.Option(min=1, help="Of a script: longer lines are split.", show_default="of the longest training text"),
    ] = None,
    continuity: Annotated[
        int | None, typer.Option(min=0, help="Of a script: latents of a speaker's last line that the next one follows.")
    ] = None,
    picture: Annotated[bool, typer.Option(help="Of a script: draw OUTPUT.png.")] = True,
    watermark: Annotated[bool, typer.Option("--watermark", help="Mark the samples; needs resemble-perth.")] = False,
    max_rows: Annotated[int, typer.Option(min=1, help="Most records said together.")] = 16,
    device: Device = "auto",
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first record that cannot be said.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew if the output exists.")] = False,
    trust_imports: TrustImports = False,
) -> None:
    """Say a text, each record of a file, or a script, in a trained voice.

    A killed job goes on when the same command is given again. A record that cannot be said is noted in
    OUTPUT/errors.jsonl and does not stop the others. Every file says in its metadata that it is synthetic.
    """
    from latent.audio.watermark import Watermark
    from latent.synthesis.files import synthesize_records, synthesize_text
    from latent.synthesis.requests import Wishes, one_request, read_requests
    from latent.synthesis.voices import open_voice
    from s2s.errors import InputError
    from s2s.ranks import join_ranks

    if sum(given is not None for given in (text, input, script)) != 1:
        raise InputError("synthesize: give one of --text, --input and --script")
    output = output or Path("speech.wav" if input is None else "speech")
    wishes = Wishes(speaker, voice, seed, temperature, consent)
    mark = Watermark.load() if watermark else None
    with join_ranks(device) as ranks:
        if ranks.size > 1 and input in (None, "-"):
            raise InputError("synthesize: several processes share the records of a file; name one by --input")
        loaded = open_voice(run, tokenizer, device=ranks.device, overrides=overrides or [], checkpoint_name=checkpoint)
        summary: object
        if script is not None:
            options = {"pause_seconds": pause, "max_characters": max_characters, "continuity_frames": continuity}
            more = {"overwrite": overwrite, "picture": picture, "mark": mark}
            summary = _speak_script(loaded, script, output, wishes, cast or [], options, **more)
        elif input is not None:
            for turn in (True, False):  # the first rank notes consent, the others find it noted
                if ranks.first == turn:
                    records = read_requests(loaded, input, wishes, strict)
                ranks.gather([])
            suffix = f".{format.value}"
            summary = synthesize_records(
                loaded, records, output, ranks, suffix=suffix, max_rows=max_rows, overwrite=overwrite, watermark=mark
            )
        else:
            summary = synthesize_text(loaded, one_request(loaded, text or "", wishes), output, overwrite, mark)
        if ranks.first:
            typer.echo(f"{output}: {summary}", err=True)


def provenance(
    files: Annotated[list[Path], typer.Argument(help="Audio files.")],
) -> None:
    """Print what audio files tell of their origin: their metadata, and whether a watermark is heard in them.

    That neither is found does not mean that a person spoke: both can be removed, and other software leaves none.
    """
    from latent.synthesis.provenance import describe_origin

    for path in files:
        typer.echo(f"{path}: {describe_origin(path)}")


def _speak_script(
    voice: Voice,
    script: Path,
    output: Path,
    wishes: Wishes,
    cast: list[str],
    options: dict[str, Any],
    **more: Any,
) -> str:
    from latent.longform.cast import Role
    from latent.longform.long_form import synthesize_script
    from latent.longform.narrator import LongFormOptions
    from latent.synthesis.requests import VoicePrompts
    from s2s.errors import InputError

    if wishes.speaker is not None or wishes.prompt is not None:
        raise InputError(
            '--speaker, --voice: a script has speakers of its own; give --cast "Speaker 1=NAME or recording"'
        )
    prompts = VoicePrompts(voice, wishes.consent)
    roles: dict[str, Role] = {}
    for given in cast:
        name, equals, who = (part.strip() for part in given.partition("="))
        if not (name and equals and who):
            raise InputError(f'--cast: must read "NAME IN THE SCRIPT=speaker or recording", found {given!r}')
        if not Path(who).is_file():
            voice.check_speaker(who)
        roles[name] = Role(who) if who in voice.speakers else Role(prompt=prompts[Path(who)])
    wanted = LongFormOptions(seed=wishes.seed, temperature=wishes.temperature, **options)
    summary = synthesize_script(voice, script, output, roles, wanted, **more)
    cut = f", {summary.cut} cut" if summary.cut else ""
    return f"{summary.seconds:.1f} s of audio, {summary.lines} lines{cut}"
