"""The latents of pictures on disk: encoded once, read by the task that learns to draw them.

A store is a folder: `store.json` (facts and statistics), `index.jsonl` (one picture a line, with its shard),
`shard-00000.safetensors` and so on (for each id the means in raster order), and `image_tokenizer/`, a copy of the
tokenizer for runs that are trained on the store.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from latent.data.latent_shards import Latents, ShardReader, ShardWriter, sample_around, sigma_of
from latent.data.latent_store import check_copy, copy_tokenizer
from latent.data.pictures import Picture
from s2s.config import Section, parse_section
from s2s.data.jsonl import read_records
from s2s.durable import WAY_OUT, claimed, write_whole, writing
from s2s.errors import InputError
from s2s.generation.shard_folders import ShardFolder
from s2s.json_files import describe, dump_json, read_object

IMAGE_TOKENIZER = "image_tokenizer"
"""Folder of the image tokenizer in a store, and in a run trained on it."""
IMAGE_LATENTS = "image latents"
"""What a shard of such a store holds."""
_FACTS = "image_latents.json"


class ImageFacts(Section):
    """Facts about the latents of a store."""

    tokenizer: str
    """Where the tokenizer came from, for people."""
    image_size: PositiveInt
    """Pixels of a picture, a side."""
    channels: Literal[1, 3]
    """1: gray, 3: color."""
    grid_size: PositiveInt
    """Latents of a picture, a side."""
    latent_size: PositiveInt
    """Numbers per latent."""
    sigma_rule: Literal["gaussian", "fixed", "none"]
    """See `SigmaVAE.Config`."""
    std: NonNegativeFloat
    """See `SigmaVAE.Config`."""
    mean: float = 0.0
    """Mean of all numbers of sampled latents."""
    latent_std: PositiveFloat = 1.0
    """Their standard deviation."""
    num_pictures: NonNegativeInt = Field(default=0)
    """Pictures in the store."""

    @property
    def num_latents(self) -> int:
        """Latents of a picture."""
        return self.grid_size**2

    def sample(self, mean: Latents, generator: np.random.Generator) -> Latents:
        """Latents around the means `(N, L)` of one picture; "gaussian" draws its scale first."""
        return sample_around(mean, self.sigma_rule, self.std, generator)

    def save(self, run: Path) -> None:
        """Write them into the folder of a run."""
        write_whole(run / _FACTS, self.json_lines())

    def json_lines(self) -> bytes:
        """As a file holds them."""
        return f"{json.dumps(self.model_dump(), indent=1)}\n".encode()

    @classmethod
    def load(cls, run: Path) -> ImageFacts:
        """Read them from the folder of a run; InputError if the file is missing or broken."""
        if not (run / _FACTS).is_file():
            raise InputError(
                f"{run}: is not a run of the task 'image_generation' or 'image_and_text', it lacks {_FACTS}"
            )
        return parse_section(cls, read_object(run / _FACTS), str(run / _FACTS))


@dataclass(frozen=True)
class StoredPicture:
    """One line of the index; the text is empty where the picture has none."""

    id: str
    text: str
    shard: str


def write_image_store(
    folder: Path, facts: ImageFacts, entries: Iterable[tuple[Picture | StoredPicture, Latents]]
) -> ImageFacts:
    """Write the means `(N, L)` of pictures, one shard in memory at a time.

    Args:
        folder: Created if it does not exist; the store is valid once it holds `store.json`.
        facts: Without statistics.

    Returns:
        The facts with their statistics.

    Raises:
        InputError: there are no entries.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shards, count = ShardWriter(folder, facts.latent_size), 0
    with (folder / "index.jsonl").open("w", encoding="utf-8") as index:
        for picture, mean in entries:
            stored = StoredPicture(picture.id, picture.text, shards.add(picture.id, mean))
            index.write(dump_json(asdict(stored)) + "\n")
            count += 1
    statistics = shards.finish(sigma_of(facts.sigma_rule, facts.std))
    if statistics is None:
        raise InputError(f"{folder}: no pictures to store")
    measured = {"mean": statistics.mean, "latent_std": statistics.std, "num_pictures": count}
    facts = facts.model_copy(update=measured)
    write_whole(folder / "store.json", facts.json_lines())
    return facts


class ImageStore:
    """A store for reading. Opening it checks every file, so that training cannot fail on one later.

    Raises:
        InputError: the folder is not a finished store, or a file in it is missing, damaged or does not fit the others.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        path = self.folder / "store.json"
        if not path.is_file():
            raise InputError(f"{folder}: is not a finished store of pictures, it lacks store.json")
        self.facts = parse_section(ImageFacts, read_object(path), str(path))
        check_copy(self.folder / IMAGE_TOKENIZER)
        self._shards = ShardReader(self.folder)
        shape = [self.facts.num_latents, self.facts.latent_size]
        self.pictures: list[StoredPicture] = []
        for where, record in read_records(self.folder / "index.jsonl"):
            stored = _read_line(record, where)
            self._shards.check(stored.shard, stored.id, shape, where)
            self.pictures.append(stored)
        if len(self.pictures) != self.facts.num_pictures:
            raise InputError(
                f"{self.folder / 'index.jsonl'}: has {len(self.pictures)} pictures, store.json counts "
                f"{self.facts.num_pictures}; encode them again"
            )

    def __len__(self) -> int:
        return len(self.pictures)

    def mean(self, index: int) -> Latents:
        """The means of one picture, `(N, L)`; InputError if a number in them is not finite."""
        picture = self.pictures[index]
        return self._shards.rows(picture.shard, picture.id)


def join_image_stores(output: Path, shards: Sequence[ShardFolder], overwrite: bool) -> str:
    """Write the store of one process from those of all shards; a summary. Errors: see `join_stores`."""
    with claimed(output, output / ".lock"), writing(output):
        if (output / "store.json").exists() and not overwrite:
            raise InputError(f"{output}: already has latents; {WAY_OUT}")
        stores = [ImageStore(shard.path) for shard in shards if (shard.path / "store.json").is_file()]
        (output / "store.json").unlink(missing_ok=True)
        copy_tokenizer(stores[0].folder / IMAGE_TOKENIZER, output, IMAGE_TOKENIZER)
        entries = ((shown, store.mean(index)) for store in stores for index, shown in enumerate(store.pictures))
        unmeasured = {"mean": 0.0, "latent_std": 1.0, "num_pictures": 0}
        facts = write_image_store(output, stores[0].facts.model_copy(update=unmeasured), entries)
    return f"{len(shards)} shards, {facts.num_pictures:,} pictures"


def _read_line(record: dict[str, Any], where: str) -> StoredPicture:
    for name in ("id", "text", "shard"):
        if not isinstance(value := record.get(name), str) or not (value or name == "text"):
            raise InputError(f"{where}: {name!r} must be a string, found {describe(value)}")
    return StoredPicture(record["id"], record["text"], record["shard"])
