"""Runs of fine-tuned VibeVoices as voices."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch

from latent.decoding.vibevoice import VibeVoiceDecoder
from latent.models.checkpoints import load_vibevoice
from latent.models.families import tuned_model
from latent.synthesis.vibevoice_voice import VibeVoiceVoice
from latent.text.text_encoder import load_text_encoder
from latent.tuned_vibevoice import base_of, read_tuned, tuned_digest
from s2s.errors import InputError
from s2s.hub import repository_of
from s2s.nn.packed import Precision, released_precision, weights_dtype
from s2s.run import build_decoder


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
        precision: Precision | None = None,
    ) -> TunedVoice:
        """The voice of a run, with the tokenizers of its base; `model.init=FOLDER` says where that is.

        Raises:
            InputError: the base is missing or another one, or the run is incomplete.
            ConfigError: an override does not fit.
        """
        if tuned_model(run) == "vibevoice_listener":
            raise InputError(f"{run}: is a fine-tuned VibeVoice-ASR, which listens; use `unilatent transcribe`")
        config, language = read_tuned(run, overrides, checkpoint_name)
        base = base_of(config)
        encode = load_text_encoder(run, None if tokenizer is None else str(tokenizer))
        decoder = build_decoder(config, VibeVoiceDecoder)
        own = precision or released_precision(device)
        model = load_vibevoice(str(base), weights_dtype(own, device))
        language.put_into(model)
        model.to(device).prepare(own)
        voice = cls(base, model, decoder, encode)
        voice.name, voice.precision = repository_of(run) or run.resolve().name, precision
        voice.weights = tuned_digest(voice.weights, run, checkpoint_name)
        return voice
