"""Runs of fine-tuned VibeVoice-ASRs as recognizers: the base listens with the weights of the run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from latent.models.checkpoints import load_asr
from latent.models.families import family_of
from latent.recognition.live_vibevoice import LiveVibeVoiceRecognizer
from latent.recognition.released import ReleasedRecognizer
from latent.recognition.vibevoice_recognizer import VibeVoiceRecognizer
from latent.text.text_encoder import load_text_encoder
from latent.tuned_vibevoice import base_of, read_tuned, tuned_digest
from s2s.hub import repository_of
from s2s.nn.packed import Precision, released_precision, weights_dtype
from s2s.run import build_decoder, read_run


def recognizer_class(folder: Path) -> type[ReleasedRecognizer]:
    """How the checkpoint of a VibeVoice-ASR listens: to whole recordings, or window by window."""
    return LiveVibeVoiceRecognizer if family_of(folder) == "vibevoice_asr_streaming" else VibeVoiceRecognizer


def open_tuned(
    run: Path,
    tokenizer: str | None,
    device: torch.device,
    overrides: Iterable[str],
    checkpoint_name: str | None,
    precision: Precision | None = None,
) -> ReleasedRecognizer:
    """The recognizer of a run, with the encoders of its base; `model.init=FOLDER` says where that is.

    Raises:
        InputError: the base is missing or another one, or the run is incomplete.
        ConfigError: an override does not fit.
    """
    options = list(overrides)
    base = base_of(read_run(run, [option for option in options if not option.startswith("decoder.")]))
    kind = recognizer_class(base)
    decoder: type[Any] = kind.decoder_class
    config, language = read_tuned(run, [f"decoder.name={kind.decoder_name}", *options], checkpoint_name)
    own = precision or released_precision(device)
    model = load_asr(str(base), weights_dtype(own, device))
    language.put_into(model)
    model.to(device).prepare(own)
    recognizer = kind(base, model, build_decoder(config, decoder), load_text_encoder(run, tokenizer))
    recognizer.name, recognizer.precision = repository_of(run) or run.resolve().name, precision
    recognizer.weights = tuned_digest(recognizer.weights, run, checkpoint_name)
    return recognizer
