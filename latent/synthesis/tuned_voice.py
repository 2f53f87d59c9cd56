"""Runs of fine-tuned VibeVoices: as voices, and as checkpoints that need no run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import torch

from latent.decoding.vibevoice import VibeVoiceDecoder
from latent.models.checkpoints import load_vibevoice
from latent.models.families import tuned_model
from latent.models.vibevoice_files import write_checkpoint
from latent.models.vibevoice_language import VibeVoiceLanguage
from latent.synthesis.vibevoice_voice import VibeVoiceVoice
from latent.text.text_encoder import load_text_encoder
from s2s.checkpoint import weights_path
from s2s.durable import fingerprint
from s2s.errors import InputError
from s2s.hub import find_run, repository_of
from s2s.models.pretrained import locate
from s2s.run import RunConfig, build_decoder, build_model, load_weights, read_run


class TunedVoice(VibeVoiceVoice):
    """A released VibeVoice with the weights of a run."""

    @classmethod
    def open_run(
        cls,
        run: Path,
        tokenizer: str | Path | None,
        device: torch.device,
        overrides: Iterable[str],
        checkpoint_name: str | None,
    ) -> TunedVoice:
        """The voice of a run, with the tokenizers of its base; `model.init=FOLDER` says where that is.

        Raises:
            InputError: the base is missing or another one, or the run is incomplete.
            ConfigError: an override does not fit.
        """
        if tuned_model(run) == "vibevoice_listener":
            raise InputError(f"{run}: listens; `unilatent merge {run} --output FOLDER` writes what `transcribe` opens")
        config, language = _read(run, overrides, checkpoint_name)
        base = locate(str(language.config.init))
        encode = load_text_encoder(run, None if tokenizer is None else str(tokenizer))
        decoder = build_decoder(config, VibeVoiceDecoder)
        model = load_vibevoice(str(base), torch.bfloat16 if device.type == "cuda" else torch.float32)
        language.put_into(model)
        model.to(device).prepare()
        voice = cls(base, model, decoder, encode)
        own = fingerprint(weights_path(run, checkpoint_name))["sha256"]
        voice.name = repository_of(run) or run.resolve().name
        voice.weights = hashlib.sha256(f"{voice.weights}{own}".encode()).hexdigest()[:16]
        return voice


def write_tuned(run: str | Path, output: Path, checkpoint_name: str | None = None) -> None:
    """Write a run as a checkpoint in the layout of its base, the weights that were trained in float32.

    Raises:
        InputError: see `TunedVoice.open_run`; or the folder is not empty.
    """
    _, language = _read(find_run(run), (), checkpoint_name)
    write_checkpoint(locate(str(language.config.init)), language.state_dict(), language.config, output)


def _read(run: Path, overrides: Iterable[str], checkpoint_name: str | None) -> tuple[RunConfig, VibeVoiceLanguage]:
    config = read_run(run, overrides)
    language = build_model(config)
    assert isinstance(language, VibeVoiceLanguage)
    load_weights(language, run, checkpoint_name)
    return config, language
