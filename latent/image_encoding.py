"""Encodes pictures into a store of latents, with a trained image tokenizer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from latent.data.image_store import IMAGE_TOKENIZER, ImageFacts, write_image_store
from latent.data.latent_shards import Latents
from latent.data.latent_store import copy_tokenizer
from latent.data.pictures import Picture, read_pictures
from latent.image_tokenizer import load_image_tokenizer
from latent.models.image_sigma_vae import ImageTokenizer
from s2s.durable import claimed, writing
from s2s.errors import InputError
from s2s.progress import Meter
from s2s.progress import pictures as of_pictures

_BATCH = 32


def encode_pictures(
    lists: Sequence[str | Path],
    tokenizer_run: str | Path,
    folder: str | Path,
    device: str | torch.device = "cpu",
    show_progress: bool = False,
) -> ImageFacts:
    """Write the latents of all pictures of some lists, and a copy of the tokenizer.

    Args:
        lists: See `latent.data.pictures`; their ids all differ.
        tokenizer_run: Run folder of an image tokenizer.
        folder: The folder of the store.

    Raises:
        InputError: the run is not one of an image tokenizer, an id is in two lists, a picture cannot be read, or the
            store cannot be written.
    """
    run, folder = Path(tokenizer_run), Path(folder)
    load_image_tokenizer(run)  # raises before anything is written
    pictures = _read_all(lists)
    with claimed(folder, folder / ".lock"), writing(folder):
        (folder / "store.json").unlink(missing_ok=True)  # an older store, which is no longer one
        copy_tokenizer(run, folder, IMAGE_TOKENIZER)
        tokenizer = load_image_tokenizer(folder / IMAGE_TOKENIZER).to(device)  # the run may be training still
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
        with Meter(len(pictures), show_progress, "encoded", of_pictures) as meter:
            return write_image_store(folder, facts, _encoded(tokenizer, pictures, device, meter))


def _read_all(lists: Sequence[str | Path]) -> list[Picture]:
    first: dict[str, Picture] = {}
    for path in lists:
        for picture in read_pictures(path):
            if picture.id in first:
                raise InputError(f"{picture.where}: 'id' {picture.id!r} is in {first[picture.id].where} too")
            first[picture.id] = picture
    return list(first.values())


@torch.inference_mode()
def _encoded(
    tokenizer: ImageTokenizer, pictures: Sequence[Picture], device: str | torch.device, meter: Meter
) -> Iterator[tuple[Picture, Latents]]:
    """The means `(N, L)` of each picture."""
    for start in range(0, len(pictures), _BATCH):
        batch = pictures[start : start + _BATCH]
        pixels = [picture.pixels(tokenizer.config.image_size, tokenizer.config.channels) for picture in batch]
        means = tokenizer.encode(torch.from_numpy(np.stack(pixels)).to(device)).float().cpu().numpy()
        meter.advance(len(batch))
        yield from zip(batch, means, strict=True)
