"""Opens a voice of any kind."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch

from latent.models.families import check_verb, family_of, tuned_model
from latent.synthesis.latent_voice import LatentVoice
from latent.synthesis.realtime_voice import RealtimeVoice
from latent.synthesis.tuned_voice import TunedVoice
from latent.synthesis.vibevoice_voice import VibeVoiceVoice
from latent.synthesis.voice import Voice
from s2s.checkpoint import CONFIG
from s2s.errors import InputError
from s2s.hub import find_run
from s2s.models.pretrained import locate
from s2s.nn.packed import Precision, check_precision
from s2s.ranks import choose_device


def open_voice(
    checkpoint: str | Path,
    tokenizer: str | Path | None = None,
    *,
    device: str | torch.device = "auto",
    overrides: Iterable[str] = (),
    checkpoint_name: str | None = None,
    revision: str | None = None,
    precision: Precision | None = None,
) -> Voice:
    """The voice of a run folder, or of released weights of VibeVoice or VibeVoice-Realtime.

    Args:
        checkpoint: A run folder of a LatentLM or of a fine-tuned VibeVoice; a folder with config.json and weights; the
            name of one on the hub; or `demo`, the shipped voice.
        tokenizer: Instead of what the checkpoint brings: the run of an audio tokenizer, or VibeVoice's text tokenizer.
        device: "auto" (a GPU if there is one), "cpu", "cuda", "mps", or a device of torch.
        overrides: Options of the decoder such as `decoder.guidance_scale=1.5`.
        checkpoint_name: Of a run: a step or a file (see `s2s.checkpoint.weights_path`); the best weights by default.
        revision: A commit, branch or tag, for a name on the hub.
        precision: Of the weights but for those of audio tokenizers: float32, bfloat16, or on a CPU int8. By default
            float32, and of released weights on GPUs bfloat16.

    Raises:
        InputError: it is not such a checkpoint, or lacks something.
        ConfigError: an override does not fit.
    """
    device = device if isinstance(device, torch.device) else choose_device(device)
    check_precision(precision or "float32", device)
    path = find_run(checkpoint, revision)
    if (path / CONFIG).is_file() or (path.is_dir() and not (path / "config.json").is_file()):
        if tuned_model(path) is not None:
            return TunedVoice.open_run(path, tokenizer, device, overrides, checkpoint_name, precision)
        return LatentVoice.open(
            path,
            tokenizer,
            device=device,
            overrides=overrides,
            checkpoint_name=checkpoint_name,
            precision=precision,
        )
    if checkpoint_name is not None:
        raise InputError(f"--checkpoint {checkpoint_name}: released weights have no checkpoints, only runs have")
    folder = locate(str(path))
    family = family_of(folder)
    check_verb(folder, family, speaking=True)
    kind = RealtimeVoice if family == "vibevoice_realtime" else VibeVoiceVoice
    return kind.open(folder, None if tokenizer is None else str(tokenizer), device, overrides, precision)
