"""Opens a recognizer of any kind."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch

from latent.models.families import check_verb, family_of, tuned_model
from latent.recognition.latent_lm_recognizer import LatentLMRecognizer
from latent.recognition.recognizer import Recognizer
from latent.recognition.trained import TrainedRecognizer
from latent.recognition.tuned import open_tuned, recognizer_class
from s2s.checkpoint import CONFIG
from s2s.config import read_tree, section_of
from s2s.errors import InputError
from s2s.hub import find_run
from s2s.models.pretrained import locate
from s2s.nn.packed import Precision, check_precision
from s2s.ranks import choose_device

_VERBS = {"speech_synthesis": "synthesize", "speech_autoencoding": "encode"}
_VERBS |= {"vibevoice_synthesis": "synthesize"}
"""Verbs for runs of speech; those of text are for `decode`."""


def open_recognizer(
    checkpoint: str | Path,
    tokenizer: str | Path | None = None,
    *,
    device: str | torch.device = "auto",
    overrides: Iterable[str] = (),
    checkpoint_name: str | None = None,
    revision: str | None = None,
    precision: Precision | None = None,
) -> Recognizer:
    """The recognizer of a run, or of released weights of VibeVoice-ASR or VibeVoice-ASR-Streaming.

    Args:
        checkpoint: A run folder of the task `speech_recognition`, `speech_and_text` or `vibevoice_recognition`; a
            folder with config.json and weights; or the name of one on the hub.
        tokenizer: Instead of what the checkpoint brings or names: the run of an audio tokenizer, or VibeVoice's text
            tokenizer.
        device: "auto" (a GPU if there is one), "cpu", "cuda", "mps", or a device of torch.
        overrides: Options of the decoder such as `decoder.beam_size=4`.
        checkpoint_name: Of a run: a step or a file.
        revision: A commit, branch or tag, for a name on the hub.
        precision: As in `latent.synthesis.voices.open_voice`.

    Raises:
        InputError: it is not such a checkpoint, or lacks something; the message of one that speaks names its verb.
        ConfigError: an override does not fit.
    """
    device = device if isinstance(device, torch.device) else choose_device(device)
    check_precision(precision or "float32", device)
    path, text_tokenizer = find_run(checkpoint, revision), None if tokenizer is None else str(tokenizer)
    if (path / CONFIG).is_file():
        if tuned_model(path) == "vibevoice_listener":
            return open_tuned(path, text_tokenizer, device, overrides, checkpoint_name, precision)
        task = _listening_task(path)
        if task == "speech_and_text":
            return LatentLMRecognizer.open(path, tokenizer, device, overrides, checkpoint_name, precision)
        return TrainedRecognizer.open(path, tokenizer, device, overrides, checkpoint_name, precision)
    if checkpoint_name is not None:
        raise InputError(f"--checkpoint {checkpoint_name}: released weights have no checkpoints, only runs have")
    folder = locate(str(path))
    family = family_of(folder)
    check_verb(folder, family, speaking=False)
    return recognizer_class(folder).open(folder, text_tokenizer, device, overrides, precision)


def _listening_task(run: Path) -> str:
    """The task of a run; InputError if it is none of recognition, with what it is for."""
    task = str(section_of(read_tree(run / CONFIG), "task", run / CONFIG).get("name"))
    if task not in ("speech_recognition", "speech_and_text"):
        verb = _VERBS.get(task, "decode")
        raise InputError(f"{run}: is a run of {task}, which does not listen; use `unilatent {verb}`")
    return task
