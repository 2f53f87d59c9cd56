"""The verbs of latent: encode and synthesize. Each parses, calls, and prints."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

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
    manifest: Annotated[Path, typer.Argument(help="JSON lines with `id`, `audio` and `text`.")],
    tokenizer: Annotated[Path, typer.Option(help="The run folder of an audio tokenizer.")],
    output: Annotated[Path, typer.Option(help="The folder that the latents go to.")],
    device: Device = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew if the output exists.")] = False,
) -> None:
    """Encode the recordings of a manifest once, so that a speech model can be trained on their latents.

    The folder keeps a copy of the tokenizer, and so will every run that is trained on it.
    """
    from latent.encoding import encode_corpus
    from s2s.errors import InputError
    from s2s.training.distributed import join_ranks

    if (output / "store.json").exists() and not overwrite:
        raise InputError(f"{output}: holds latents already; give --overwrite to replace them, or another --output")
    with join_ranks(device) as ranks:
        facts = encode_corpus(manifest, tokenizer, output, str(ranks.device))
    seconds = facts.num_frames * facts.hop_length / facts.sample_rate
    typer.echo(
        f"{output}: {facts.num_frames:,} latents of {facts.latent_size} numbers, {seconds / 3600:.2f} h, "
        f"mean {facts.mean:.3f}, spread {facts.spread:.3f}",
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
    output: Annotated[Path, typer.Option("--output", help="A .wav, .flac or .ogg file; with --input a folder.")] = Path(
        "speech.wav"
    ),
    format: Annotated[Format, typer.Option("--format", help="Of the files of a folder.")] = Format.wav,
    speaker: Annotated[str | None, typer.Option(help="Who speaks; `unilatent show RUN` lists the speakers.")] = None,
    voice: Annotated[Path | None, typer.Option(help="A recording of the voice to speak in.")] = None,
    consent: Annotated[
        bool,
        typer.Option(
            "--i-have-consent", help="Its speaker agreed; needed once for each recording, and noted beside it."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same speech.")] = 0,
    temperature: Annotated[float, typer.Option(min=0, help="Less than 1 is tamer.")] = 1.0,
    tokenizer: Annotated[
        Path | None, typer.Option(help="Another run of the audio tokenizer than the voice's own.")
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="A step or a safetensors file, instead of the best weights.")
    ] = None,
    max_rows: Annotated[int, typer.Option(min=1, help="Most records said together.")] = 16,
    device: Device = "auto",
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first record that cannot be said.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew if the output exists.")] = False,
) -> None:
    """Say a text, or each record of a file, in a trained voice.

    A killed job goes on when the same command is given again. A record that cannot be said is noted in
    OUTPUT/errors.jsonl and does not stop the others. Every file says in its metadata that it is synthetic.
    """
    from latent.synthesis.files import synthesize_records, synthesize_text
    from latent.synthesis.requests import Wishes, one_request, read_requests
    from latent.synthesis.voice import Voice
    from s2s.errors import InputError
    from s2s.training.distributed import join_ranks

    if (text is None) == (input is None):
        raise InputError("synthesize: give either --text or --input")
    wishes = Wishes(speaker, voice, seed, temperature, consent)
    with join_ranks(device) as ranks:
        if ranks.size > 1 and input in (None, "-"):
            raise InputError("synthesize: several processes share the records of a file; name one by --input")
        loaded = Voice.load(run, tokenizer, device=ranks.device, overrides=overrides or [], checkpoint_name=checkpoint)
        if input is None:
            summary = synthesize_text(loaded, one_request(loaded, text or "", wishes), output, overwrite)
        else:
            for turn in (True, False):  # the first rank notes consent, the others find it noted
                if ranks.first == turn:
                    records = read_requests(loaded, input, wishes, strict)
                ranks.gather([])
            summary = synthesize_records(
                loaded, records, output, ranks, suffix=f".{format.value}", max_rows=max_rows, overwrite=overwrite
            )
        if ranks.first:
            see = f"; see {output / 'errors.jsonl'}" if summary.failed else ""
            typer.echo(f"{output}: {summary}{see}", err=True)
