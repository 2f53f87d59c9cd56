"""Opening a voice, whatever it is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch

from latent.synthesis.latent_voice import LatentVoice
from latent.synthesis.voice import Voice


def open_voice(
    checkpoint: str | Path,
    tokenizer: str | Path | None = None,
    *,
    device: str | torch.device = "cpu",
    overrides: Iterable[str] = (),
    checkpoint_name: str | None = None,
) -> Voice:
    """The voice of a checkpoint."""
    return LatentVoice.load(checkpoint, tokenizer, device=device, overrides=overrides, checkpoint_name=checkpoint_name)
