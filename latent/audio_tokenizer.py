"""The audio tokenizer: the σ-VAE of a run folder, and the latents of a signal of any length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latent.data.latent_store import TOKENIZER, StoreFacts
from latent.models.sigma_vae import SigmaVAE
from latent.nn.codec import AudioEncoder
from latent.nn.conv import History
from s2s import checkpoint
from s2s.errors import InputError
from s2s.run import build_model, read_run


def load_tokenizer(run: str | Path) -> SigmaVAE:
    """The σ-VAE of a run folder, in evaluation mode; raises InputError if it is not the run of one."""
    config = read_run(run)
    if config.model.name != "sigma_vae":
        raise InputError(f"{run}: must be a run of the model 'sigma_vae', found {config.model.name!r}")
    model = build_model(config, fresh=False)
    checkpoint.load_weights(model, checkpoint.weights_path(Path(run), None))
    assert isinstance(model, SigmaVAE)
    return model.eval()


def matching_tokenizer(run: Path, folder: str | Path | None = None) -> SigmaVAE:
    """The audio tokenizer of a run that learned from latents: the copy in it, or that of another folder.

    Raises:
        InputError: there is none, or its latents are others.
    """
    facts = StoreFacts.load(run)
    if folder is None and not (run / TOKENIZER).is_dir():
        raise InputError(f"{run}: holds no {TOKENIZER}/; give the run of its audio tokenizer ({facts.tokenizer})")
    folder = run / TOKENIZER if folder is None else folder
    tokenizer = load_tokenizer(folder)
    sizes = tokenizer.config.model_dump(include={"latent_size", "sample_rate"}) | {"hop_length": tokenizer.hop_length}
    for name, found in sizes.items():
        if found != (expected := getattr(facts, name)):
            other = f"{name} must be {expected}, found {found}"
            raise InputError(f"{folder}: is not the audio tokenizer of {run}: {other}")
    return tokenizer


def encode_samples(
    tokenizer: SigmaVAE,
    samples: NDArray[np.float32],
    device: str | torch.device,
    chunk_seconds: float = 30.0,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """The means `(F, L)` of a signal `(S,)`, on the CPU; encoded in chunks, so that memory does not grow with it."""
    frames = max(1, int(chunk_seconds * tokenizer.frame_rate))
    samples = np.pad(samples, (0, tokenizer.config.lookahead))[tokenizer.config.lookahead :]
    return encode_in_chunks(tokenizer.encoder, samples, device, frames, dtype)


@torch.inference_mode()
def encode_in_chunks(
    encoder: AudioEncoder,
    samples: NDArray[np.float32],
    device: str | torch.device,
    chunk_frames: int,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """What an encoder makes of a signal `(S,)`, `(F, L)` on the CPU; it reads so many frames at a time."""
    padded = torch.from_numpy(np.pad(samples, (0, -len(samples) % encoder.hop_length)))
    history: History | None = None
    parts = []
    for piece in torch.split(padded, chunk_frames * encoder.hop_length):
        found, history = encoder(piece[None, None].to(device, dtype), history)
        parts.append(found[0].cpu())
    return torch.cat(parts)
