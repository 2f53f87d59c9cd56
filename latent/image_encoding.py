"""Encodes pictures into a store of latents, with a trained image tokenizer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from latent.data.image_store import IMAGE_LATENTS, IMAGE_TOKENIZER, ImageFacts, write_image_store
from latent.data.latent_shards import Latents
from latent.data.latent_store import copy_tokenizer
from latent.data.pictures import Picture, read_pictures
from latent.encoding_on_cluster import Encode, encoded_on_cluster
from latent.image_tokenizer import load_image_tokenizer
from latent.models.image_sigma_vae import ImageTokenizer
from s2s.checkpoint import WEIGHTS
from s2s.cluster.pool import ClusterOptions
from s2s.durable import claimed, fingerprint, writing
from s2s.errors import InputError
from s2s.generation.job_array import Shard
from s2s.generation.shard_folders import ShardFolder, begin_shard
from s2s.json_files import dump_json
from s2s.progress import Meter
from s2s.progress import pictures as of_pictures

_BATCH = 32


def encode_pictures(
    lists: Sequence[str | Path],
    tokenizer_run: str | Path,
    folder: str | Path,
    device: str | torch.device = "cpu",
    show_progress: bool = False,
    shard: Shard | None = None,
    cluster: ClusterOptions | None = None,
) -> ImageFacts:
    """Write the latents of all pictures of some lists, and a copy of the tokenizer.

    Args:
        lists: See `latent.data.pictures`; their ids all differ.
        tokenizer_run: Run folder of an image tokenizer.
        folder: The folder of the store.
        shard: Encode a part of the pictures alone, into a folder of its own; see `s2s.generation.shard_folders`.
        cluster: Encode by the workers of a Ray cluster.

    Raises:
        InputError: the run is not one of an image tokenizer, an id is in two lists, a picture cannot be read, or the
            store cannot be written.
    """
    run, folder = Path(tokenizer_run), Path(folder)
    load_image_tokenizer(run)  # raises before anything is written
    pictures = _read_all(lists)
    part, folder = (pictures, folder) if shard is None else (shard.part(pictures, _BATCH), shard.path(folder))
    with claimed(folder, folder / ".lock"), writing(folder):
        begin_shard(folder)
        (folder / "store.json").unlink(missing_ok=True)  # an older store, which is no longer one
        copy_tokenizer(run, folder, IMAGE_TOKENIZER)
        tokenizer = load_image_tokenizer(folder / IMAGE_TOKENIZER)  # the run may be training still
        config = tokenizer.config
        facts = ImageFacts(
            tokenizer=str(run),
            image_size=config.image_size,
            channels=1 if config.channels == 1 else 3,
            grid_size=tokenizer.grid_size,
            latent_size=config.latent_size,
            sigma_rule=config.sigma_rule,
            std=config.std,
        )
        with Meter(len(part), show_progress, "encoded", of_pictures) as meter:
            encode, open = (
                partial(_encoded, tokenizer.to(device), device=torch.device(device)),
                partial(_open, tokenizer),
            )
            entries = encode(part) if cluster is None else encoded_on_cluster(open, part, _BATCH, cluster)
            facts = write_image_store(folder, facts, _counted(entries, meter)) if part else facts
        if shard is not None:
            listed = dump_json([[one.id, one.text, one.image.stat().st_size] for one in pictures]).encode()
            weights = fingerprint(folder / IMAGE_TOKENIZER / WEIGHTS)
            job = {"tokenizer": weights, "pictures": hashlib.sha256(listed).hexdigest()}
            ShardFolder(folder, IMAGE_LATENTS, job, {}).finish()
    return facts


def _read_all(lists: Sequence[str | Path]) -> list[Picture]:
    first: dict[str, Picture] = {}
    for path in lists:
        for picture in read_pictures(path):
            if picture.id in first:
                raise InputError(f"{picture.where}: 'id' {picture.id!r} is in {first[picture.id].where} too")
            first[picture.id] = picture
    return list(first.values())


def _open(tokenizer: ImageTokenizer, device: torch.device) -> Encode:
    return partial(_encoded, tokenizer.to(device), device=device)


def _counted(entries: Iterable[tuple[Picture, Latents]], meter: Meter) -> Iterator[tuple[Picture, Latents]]:
    for picture, means in entries:
        meter.advance(1)
        yield picture, means


@torch.inference_mode()
def _encoded(
    tokenizer: ImageTokenizer, pictures: Sequence[Picture], device: torch.device
) -> Iterator[tuple[Picture, Latents]]:
    """The means `(N, L)` of each picture."""
    for start in range(0, len(pictures), _BATCH):
        batch = pictures[start : start + _BATCH]
        pixels = [picture.pixels(tokenizer.config.image_size, tokenizer.config.channels) for picture in batch]
        means = tokenizer.encode(torch.from_numpy(np.stack(pixels)).to(device)).float().cpu().numpy()
        yield from zip(batch, means, strict=True)
