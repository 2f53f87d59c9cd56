"""Encodes a corpus of recordings into a store of latents with a trained audio tokenizer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch

from latent.audio.files import load_audio
from latent.audio_tokenizer import encode_samples, load_tokenizer
from latent.data.latent_store import TOKENIZER, Latents, StoreFacts, copy_tokenizer, write_store
from latent.data.manifest import Utterance, read_manifest
from latent.models.sigma_vae import SigmaVAE
from s2s.durable import claimed, writing
from s2s.errors import InputError
from s2s.progress import Meter, audio


def encode_corpus(
    manifests: Sequence[str | Path],
    tokenizer_run: str | Path,
    folder: str | Path,
    device: str | torch.device = "cpu",
    show_progress: bool = False,
) -> StoreFacts:
    """Write the latents of all recordings of manifests, and a copy of the tokenizer.

    Args:
        manifests: See `latent.data.manifest`; their ids all differ.
        tokenizer_run: Run folder of a σ-VAE.
        folder: The folder of the store.

    Raises:
        InputError: the run is not one of a σ-VAE, an id is in two manifests, a recording cannot be read, or the store
            cannot be written.
    """
    load_tokenizer(tokenizer_run)  # raises before anything is written
    utterances, folder = _read_all(manifests), Path(folder)
    seconds = sum(utterance.seconds for utterance in utterances)
    with claimed(folder, folder / ".lock"), writing(folder):
        (folder / "store.json").unlink(missing_ok=True)  # an older store, which is no longer one
        copy_tokenizer(Path(tokenizer_run), folder)
        tokenizer = load_tokenizer(folder / TOKENIZER).to(device)  # the run may be training still, the copy is not
        sizes = (tokenizer.config.latent_size, tokenizer.config.sample_rate, tokenizer.hop_length)
        facts = StoreFacts(str(tokenizer_run), *sizes, tokenizer.config.sigma_rule, tokenizer.config.std)
        with Meter(seconds, show_progress, "encoded", audio) as meter:
            return write_store(folder, facts, encode_recordings(tokenizer, utterances, device, meter))


def _read_all(manifests: Sequence[str | Path]) -> list[Utterance]:
    first: dict[str, str | Path] = {}
    utterances = []
    for manifest in manifests:
        for utterance in read_manifest(manifest):
            if utterance.id in first:
                raise InputError(f"{manifest}: 'id' {utterance.id!r} is in {first[utterance.id]} too; ids must differ")
            first[utterance.id] = manifest
            utterances.append(utterance)
    return utterances


def encode_recordings(
    tokenizer: SigmaVAE,
    utterances: Iterable[Utterance],
    device: str | torch.device = "cpu",
    meter: Meter | None = None,
) -> Iterator[tuple[Utterance, Latents]]:
    """The means `(F, L)` of each recording."""
    for utterance in utterances:
        samples = load_audio(utterance.audio, tokenizer.config.sample_rate)
        mean = encode_samples(tokenizer, samples, device).numpy()
        if meter is not None:
            meter.advance(len(mean) / tokenizer.frame_rate)
        yield utterance, mean
