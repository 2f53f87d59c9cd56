"""The audio tokenizer: the σ-VAE of a run folder, and the latents of a signal of any length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latent.models.sigma_vae import SigmaVAE
from latent.nn.conv import History
from s2s import checkpoint
from s2s.errors import InputError
from s2s.run import build_model, read_run


def load_tokenizer(run: str | Path) -> SigmaVAE:
    """The σ-VAE of a run folder, in evaluation mode; raises InputError if it is not the run of one."""
    config = read_run(run)
    if config.model.name != "sigma_vae":
        raise InputError(f"{run}: must be a run of the model 'sigma_vae', found {config.model.name!r}")
    model = build_model(config)
    checkpoint.load_weights(model, checkpoint.weights_path(Path(run), None))
    assert isinstance(model, SigmaVAE)
    return model.eval()


@torch.inference_mode()
def encode_samples(
    tokenizer: SigmaVAE,
    samples: NDArray[np.float32],
    device: str | torch.device,
    chunk_seconds: float = 30.0,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """The means `(F, L)` of a signal `(S,)`, on the CPU; encoded in chunks, so that memory does not grow with it."""
    hop = tokenizer.hop_length
    chunk = hop * max(1, int(chunk_seconds * tokenizer.frame_rate))
    padded = torch.from_numpy(np.pad(samples, (0, -len(samples) % hop)))
    history: History | None = None
    parts = []
    for piece in torch.split(padded, chunk):
        mean, history = tokenizer.encode_chunk(piece[None, None].to(device, dtype), history)
        parts.append(mean[0].cpu())
    return torch.cat(parts)
