"""Encodes a corpus of recordings into a store of latents, with a trained audio tokenizer or with released encoders."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from latent.audio.files import load_audio
from latent.audio.levels import normalize_loudness
from latent.audio_tokenizer import encode_in_chunks, encode_samples, load_tokenizer
from latent.data.latent_store import LATENTS, TOKENIZER, Latents, StoreFacts, copy_tokenizer, write_store
from latent.data.manifest import Utterance, read_manifest
from latent.encoding_on_cluster import Encode, Open, encoded_on_cluster
from latent.models.released_parts import Encoders, load_encoders
from latent.models.sigma_vae import SigmaVAE
from latent.speech_encoder import SpeechEncoder, find_encoder, open_encoder
from s2s.checkpoint import CONFIG, WEIGHTS
from s2s.cluster.pool import ClusterOptions
from s2s.durable import claimed, fingerprint, writing
from s2s.errors import InputError
from s2s.generation.job_array import Shard
from s2s.generation.shard_folders import ShardFolder, begin_shard
from s2s.json_files import dump_json
from s2s.progress import Meter, audio

_CHUNK_SECONDS = 30
_WINDOW = 16
"""Recordings that a worker of a cluster encodes at a time."""


def encode_corpus(
    manifests: Sequence[str | Path],
    tokenizer_run: str | Path,
    folder: str | Path,
    device: str | torch.device = "cpu",
    show_progress: bool = False,
    shard: Shard | None = None,
    cluster: ClusterOptions | None = None,
    stack: int = 1,
) -> StoreFacts:
    """Write the latents of all recordings of manifests, and a copy of the tokenizer.

    Args:
        manifests: See `latent.data.manifest`; their ids all differ.
        tokenizer_run: Run folder of a σ-VAE. Or released VibeVoice weights, a folder or hub id: these encode at the
            loudness that they speak and listen at, semantic features too. Or a pretrained speech encoder, see
            `latent.speech_encoder`. Neither of these is copied.
        folder: The folder of the store.
        shard: Encode a part of the recordings alone, into a folder of its own; see `s2s.generation.shard_folders`.
        cluster: Encode by the workers of a Ray cluster; then `device` is that of this process alone.
        stack: Frames of a pretrained speech encoder in one latent.

    Raises:
        InputError: the run is not one of a σ-VAE, an id is in two manifests, a recording cannot be read, or the store
            cannot be written.
    """
    run, folder = Path(tokenizer_run), Path(folder)
    released = None if _is_run(run) else _pretrained(str(run), device, stack)
    if released is None:
        load_tokenizer(run)  # raises before anything is written
        _check_stack(run, stack)
    utterances = _read_all(manifests)
    part, folder = (utterances, folder) if shard is None else (shard.part(utterances), shard.path(folder))
    with claimed(folder, folder / ".lock"), writing(folder):
        begin_shard(folder)
        (folder / "store.json").unlink(missing_ok=True)  # an older store, which is no longer one
        if released is None:
            copy_tokenizer(run, folder)
        with Meter(sum(utterance.seconds for utterance in part), show_progress, "encoded", audio) as meter:
            encode: Encode
            open: Open
            if isinstance(released, SpeechEncoder):
                facts, encode = released.facts, partial(encode_heard, released)
                open = partial(_open_encoder, str(run), stack)
            elif released is not None:
                facts = _facts(str(run), released.config, released.acoustic.hop_length)
                facts = replace(facts, semantic_size=released.semantic_size)
                encode = partial(encode_released, released, device=device)
                open = partial(_open_released, str(run))
            else:  # the run may be training still, the copy is not
                tokenizer = load_tokenizer(folder / TOKENIZER).to(device)
                facts = _facts(str(run), tokenizer.config, tokenizer.hop_length)
                encode, open = partial(encode_recordings, tokenizer, device=device), partial(_open, tokenizer)
            entries = encode(part) if cluster is None else encoded_on_cluster(open, part, _WINDOW, cluster)
            facts = write_store(folder, facts, _counted(entries, meter)) if part else facts
        if shard is not None:
            ShardFolder(folder, LATENTS, _job(folder, utterances), {}).finish()
    return facts


def _open(tokenizer: SigmaVAE, device: torch.device) -> Encode:
    return partial(encode_recordings, tokenizer.to(device), device=device)


def _open_released(name: str, device: torch.device) -> Encode:
    return partial(encode_released, load_encoders(name, device), device=device)


def _counted(entries: Iterable[tuple[Utterance, Latents]], meter: Meter) -> Iterator[tuple[Utterance, Latents]]:
    for utterance, means in entries:
        meter.advance(utterance.seconds)
        yield utterance, means


def _job(folder: Path, utterances: Sequence[Utterance]) -> dict[str, Any]:
    """What all shards of a store have in common."""
    weights = folder / TOKENIZER / WEIGHTS
    listed = [[one.id, one.text, one.speaker, one.language, one.audio.stat().st_size] for one in utterances]
    return {
        "tokenizer": fingerprint(weights) if weights.is_file() else "released",
        "recordings": hashlib.sha256(dump_json(listed).encode()).hexdigest(),
    }


def _is_run(run: Path) -> bool:
    """Whether it is a run folder, or one without config.json, of which the run of a tokenizer is the likely meaning."""
    return (run / CONFIG).is_file() or (run.is_dir() and not (run / "config.json").is_file())


def _pretrained(name: str, device: str | torch.device, stack: int) -> SpeechEncoder | Encoders:
    if find_encoder(name) is not None:
        return open_encoder(name, device, stack)
    _check_stack(name, stack)
    return load_encoders(name, device)


def _check_stack(name: str | Path, stack: int) -> None:
    if stack != 1:
        raise InputError(f"--stack {stack}: is for pretrained speech encoders, and {name} is none")


def _open_encoder(name: str, stack: int, device: torch.device) -> Encode:
    return partial(encode_heard, open_encoder(name, device, stack))


def _facts(name: str, config: SigmaVAE.Config, hop_length: int) -> StoreFacts:
    return StoreFacts(name, config.latent_size, config.sample_rate, hop_length, config.sigma_rule, config.std)


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
) -> Iterator[tuple[Utterance, Latents]]:
    """The means `(F, L)` of each recording."""
    for utterance in utterances:
        samples = load_audio(utterance.audio, tokenizer.config.sample_rate)
        mean = encode_samples(tokenizer, samples, device).numpy()
        yield utterance, mean


def encode_released(
    encoders: Encoders,
    utterances: Iterable[Utterance],
    device: str | torch.device = "cpu",
) -> Iterator[tuple[Utterance, Latents]]:
    """The means of each recording and, beside them, its semantic features, `(F, L + S)`."""
    rate = encoders.config.sample_rate
    frames = max(1, _CHUNK_SECONDS * rate // encoders.acoustic.hop_length)
    for utterance in utterances:
        samples = normalize_loudness(load_audio(utterance.audio, rate))
        found = [encode_in_chunks(encoder, samples, device, frames).numpy() for encoder in encoders[:2]]
        yield utterance, np.concatenate(found, axis=1)


def encode_heard(encoder: SpeechEncoder, utterances: Iterable[Utterance]) -> Iterator[tuple[Utterance, Latents]]:
    """What a pretrained speech encoder hears in each recording, `(F, L)`."""
    for utterance in utterances:
        yield utterance, encoder.encode(load_audio(utterance.audio, encoder.sample_rate))
