"""The verb for released VibeVoice weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def vibevoice(
    checkpoint: Annotated[
        str, typer.Argument(help="A folder with config.json and weights, or the name of one on the hub.")
    ],
    script: Annotated[
        Path, typer.Option(help="Lines that read `Speaker 1: text`; or a .json list of speaker and text.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY.PATH=VALUE", help="Options of the decoder, as `decoder.guidance_scale=1.5`."),
    ] = None,
    voice: Annotated[
        list[Path] | None, typer.Option(help="A recording of Speaker 1's voice; repeat for Speaker 2 and so on.")
    ] = None,
    consent: Annotated[
        bool,
        typer.Option(
            "--i-have-consent", help="Their speakers agreed; needed once for each recording, and noted beside it."
        ),
    ] = False,
    output: Annotated[Path, typer.Option("--output", help="A .wav, .flac or .ogg file.")] = Path("speech.wav"),
    tokenizer: Annotated[
        str | None, typer.Option(help="The text tokenizer, where the checkpoint does not name it: Qwen/Qwen2.5-1.5B.")
    ] = None,
    max_seconds: Annotated[
        float | None, typer.Option(min=0, help="Cut it there; else at twice what the text should take.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="The same seed gives the same speech.")] = 0,
    temperature: Annotated[float, typer.Option(min=0, help="Less than 1 is tamer.")] = 1.0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")] = False,
) -> None:
    """Say a script of several speakers with released VibeVoice weights.

    Checkpoints of VibeVoice's own repository and of transformers are read. The file says in its metadata that it is
    synthetic.
    """
    import torch

    from latent.decoding.vibevoice import VibeVoiceDecoder
    from latent.models.checkpoints import load_vibevoice
    from latent.synthesis.consent import require_consent
    from latent.synthesis.provenance import synthetic_tags
    from latent.synthesis.vibevoice import load_text_encoder, read_turns, sample_voices, script_prompts, write_speech
    from s2s.checkpoint import weight_files
    from s2s.config import apply_overrides, parse_section
    from s2s.durable import fingerprint
    from s2s.errors import ConfigError, InputError
    from s2s.models.pretrained import locate
    from s2s.ranks import join_ranks

    if output.exists() and not overwrite:
        raise InputError(f"{output}: exists already; give --overwrite to replace it, or another --output")
    turns = read_turns(script)
    for recording in voice or []:
        require_consent(recording, consent)
    tree = apply_overrides({"decoder": {}}, overrides or [])
    if others := tree.keys() - {"decoder"}:
        raise ConfigError(f"{min(others)}: only options of the decoder can be given here")
    decoder = VibeVoiceDecoder(parse_section(VibeVoiceDecoder.Config, tree["decoder"], "decoder"))
    folder = locate(checkpoint)
    encode = load_text_encoder(folder, tokenizer)
    with join_ranks(device) as ranks:
        if ranks.size > 1:
            raise InputError("vibevoice: is the work of one process; start it without torchrun")
        model = load_vibevoice(str(folder), torch.bfloat16 if ranks.device.type == "cuda" else torch.float32)
        model.to(ranks.device).prepare()
        voices = sample_voices(model, voice or [], seed)
        prompts = script_prompts(model, encode, turns, voices, seed, temperature, max_seconds)
        weights = fingerprint(next(iter(weight_files(folder))))["sha256"][:16]
        tags = synthetic_tags(Path(checkpoint).resolve().name, weights, seed)
        typer.echo(f"{output}: {write_speech(model, decoder, prompts, output, tags)}", err=True)
