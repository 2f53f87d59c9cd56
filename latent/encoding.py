"""A corpus of recordings to a store of latents, with a trained audio tokenizer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latent.audio.files import load_audio
from latent.data.latent_store import Latents, StoreFacts, copy_tokenizer, write_store
from latent.data.manifest import Utterance, read_manifest
from latent.models.sigma_vae import SigmaVAE
from latent.nn.conv import History
from s2s import checkpoint
from s2s.errors import InputError
from s2s.run import build_model, read_run


def encode_corpus(
    manifest: str | Path, tokenizer_run: str | Path, folder: str | Path, device: str = "cpu"
) -> StoreFacts:
    """Write the latents of all recordings of a manifest.

    Args:
        manifest: See `latent.data.manifest`.
        tokenizer_run: Run folder of a σ-VAE.
        folder: Where the store goes.
        device: Where to encode.

    Returns:
        What the store holds.

    Raises:
        InputError: the run is not one of a σ-VAE, or a recording cannot be read.
    """
    tokenizer = load_tokenizer(tokenizer_run).to(device)
    config = tokenizer.config
    copy_tokenizer(Path(tokenizer_run), Path(folder))
    facts = StoreFacts(
        str(tokenizer_run), config.latent_size, config.sample_rate, tokenizer.hop_length, config.sigma_rule, config.std
    )
    return write_store(Path(folder), facts, encode_recordings(tokenizer, read_manifest(manifest)))


def load_tokenizer(run: str | Path) -> SigmaVAE:
    """The σ-VAE of a run folder, ready to use.

    Raises:
        InputError: the folder is no run folder, or that of another model.
    """
    config = read_run(run)
    if config.model.name != "sigma_vae":
        raise InputError(f"{run}: must be a run of the model 'sigma_vae', found {config.model.name!r}")
    model = build_model(config)
    checkpoint.load_weights(model, checkpoint.weights_path(Path(run), None))
    assert isinstance(model, SigmaVAE)
    return model.eval()


def encode_recordings(tokenizer: SigmaVAE, utterances: Iterable[Utterance]) -> Iterator[tuple[Utterance, Latents]]:
    """The means `(F, L)` of each recording."""
    for utterance in utterances:
        samples = load_audio(utterance.audio, tokenizer.config.sample_rate)
        yield utterance, encode_samples(tokenizer, samples).numpy()


@torch.inference_mode()
def encode_samples(tokenizer: SigmaVAE, samples: NDArray[np.float32], chunk_seconds: float = 30.0) -> Tensor:
    """The means `(F, L)` of a signal `(S,)`, on the CPU; encoded in chunks, so that memory does not grow with it."""
    hop = tokenizer.hop_length
    chunk = hop * max(1, int(chunk_seconds * tokenizer.frame_rate))
    device = next(tokenizer.parameters()).device
    padded = torch.from_numpy(np.pad(samples, (0, -len(samples) % hop)))
    history: History | None = None
    parts = []
    for piece in torch.split(padded, chunk):
        mean, history = tokenizer.encode_chunk(piece[None, None].to(device), history)
        parts.append(mean[0].cpu())
    return torch.cat(parts)
