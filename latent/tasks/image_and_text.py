"""Pictures from texts and texts from pictures, learned by one LatentLM: each picture is drawn in an epoch, and seen.

`latent.data.image_prompts` says what both sequences hold. Both directions have the same tokens, so a batch mixes them,
and the loss is that of drawing. A run draws as one of `image_generation`, and writes as one of `captioning`.

Source: LatentLM (arXiv 2412.08635): one model generates and understands.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field

from latent.data.batch import LatentSources
from latent.data.captions import Pictured
from latent.data.image_prompts import EMPTY_PROMPT, IMAGE_START, PAD, ImageVocabulary, seen_tokens
from latent.data.image_store import IMAGE_TOKENIZER, ImageFacts
from latent.data.latent_shards import Latents
from latent.data.manifest import string_field
from latent.image_tokenizer import load_image_tokenizer
from latent.models.image_sigma_vae import ImageTokenizer
from latent.tasks.both_directions import BothDirections, Described, ReadDataset
from latent.tasks.image_generation import ImageExample, ImageGeneration
from s2s import hub
from s2s.data.batch import Feeding
from s2s.data.corpus import id_of
from s2s.errors import InputError
from s2s.registry import register_task
from s2s.tasks.base import GenerationTask, Reference


@dataclass(frozen=True)
class SeenPicture:
    """A picture to write about: its latents `(N, L)`, with as many pad tokens, and the tokens that its text begins
    with.
    """

    id: str
    tokens: list[int]
    latents: Latents
    prefix: list[int]
    num_cut: int = 0


@register_task("image_and_text")
class ImageAndText(ImageGeneration, GenerationTask):
    """Pictures from texts and texts from pictures, on the latents of an image tokenizer."""

    decoder = "beam"
    has_tokenizer = True

    class Config(ImageGeneration.Config):
        """Options of the task of drawing and seeing."""

        tokenizer: hub.Name = None
        """A run that draws, whose tokens of text are used. Default: those of the training texts."""
        max_text: int = Field(64, ge=2)
        """Maximum tokens of a text, with the one that ends it."""

    config: ImageAndText.Config

    @classmethod
    def implied(cls, config: ImageAndText.Config) -> dict[str, dict[str, Any]]:
        return {"decoder": {"max_length": config.max_text}}

    def __init__(self, config: ImageAndText.Config) -> None:
        super(ImageGeneration, self).__init__(config)  # a run that writes needs no stores: training opens them
        self.vocabulary.written([])  # raises for a front end whose tokens are no text

    # Training

    @cached_property
    def vocabulary(self) -> ImageVocabulary:
        """The tokens of texts: of a run, or learned from those of training."""
        run = self._run
        return super().vocabulary if run is None else ImageVocabulary.load(run)

    def dataset(self, split: str, seed: int) -> BothDirections:
        return BothDirections(super().dataset(split, seed), self._read_dataset(split, seed))

    def _read_dataset(self, split: str, seed: int) -> ReadDataset:
        store, records = self._stores[split], self._seen(split)
        if not records:
            raise InputError(f"{getattr(self.config, split)}: no picture has a text; expected one at least")
        return ReadDataset(store, records, seen_tokens, ImageExample, seed, fixed=split == "valid")

    def _seen(self, split: str) -> list[Described]:
        """The pictures of a store that have a text; InputError if one is too long."""
        store, found = self._stores[split], []
        for index, (picture, text) in enumerate(zip(store.pictures, self._prompts[split], strict=True)):
            if len(text) > self.config.max_text:
                where = f"{getattr(self.config, split)}: {picture.id!r}"
                raise InputError(f"{where}: its text takes {len(text)} tokens, task.max_text={self.config.max_text}")
            if tuple(text) != EMPTY_PROMPT:
                found.append(Described(index, picture.id, store.facts.num_latents, text))
        return found

    def model_defaults(self) -> dict[str, Any]:
        sizes = self._sizes(self._facts, self.config.max_text + 1)
        del sizes["grid_size"]  # for models that only draw
        return sizes

    # Generation

    def record(self, text: str) -> dict[str, Any]:
        raise InputError('this run writes about pictures; give records such as {"image": "cat.png"}, or use draw')

    def source(self, record: dict[str, Any], where: str, id: str = "") -> SeenPicture:
        if record.get("constraints"):
            raise InputError(f"{where}: 'constraints' must be left out, runs of image_and_text keep none")
        prefix, picture = self._prefix(record, where), Pictured.of(record, where)
        return self._source(id_of(record, id or where, self.id_field), self._latents(picture), prefix)

    def _prefix(self, record: dict[str, Any], where: str) -> list[int]:
        if record.get("prefix") in (None, ""):
            return []
        try:
            return self.vocabulary.prompt(string_field(record, "prefix", where))[:-1]
        except InputError as error:
            raise InputError(f"{where}: 'prefix': {error}") from error

    def _source(self, id: str, latents: Latents, prefix: list[int]) -> SeenPicture:
        return SeenPicture(id, [PAD] * len(latents), latents, prefix)

    @torch.inference_mode()
    def _latents(self, picture: Pictured) -> Latents:
        """The means of a picture, which is encoded alone, so that others beside it change nothing."""
        pixels = picture.pixels(self._facts.image_size, self._facts.channels)
        return self._image_tokenizer.encode(torch.from_numpy(pixels).unsqueeze(0))[0].numpy()

    def references(self, split: str, places: Collection[int]) -> list[Reference]:
        store, records = self._stores[split], self._seen(split)
        chosen = sorted({place % len(records) for place in places})
        return [
            Reference(self._source(one.id, store.mean(one.place), []), one.id, self.text(one.text), "")
            for one in (records[place] for place in chosen)
        ]

    def collate_sources(self, examples: Sequence[SeenPicture]) -> LatentSources:
        latents = np.concatenate([one.latents for one in examples])
        tokens = torch.tensor([one.tokens for one in examples])  # all pictures have as many latents
        return LatentSources(
            ids=[one.id for one in examples],
            tokens=tokens,
            lengths=torch.full((len(examples),), tokens.shape[1]),
            feeding=Feeding(end=IMAGE_START, start=IMAGE_START),
            prefixes=[one.prefix for one in examples],
            latents=torch.from_numpy(latents),
            latent_slots=torch.arange(len(latents)),
        )

    def text(self, tokens: Sequence[int]) -> str:
        return self.vocabulary.written(tokens)

    def token_id(self, token: str) -> int:
        tokens = self.vocabulary.prompt(token)[:-1]
        if len(tokens) != 1:
            raise InputError(f"{token!r} is not one token of this run, it has {len(tokens)}")
        return tokens[0]

    @property
    def _run(self) -> Path | None:
        return None if self.config.tokenizer is None else hub.find_run(self.config.tokenizer)

    @cached_property
    def _facts(self) -> ImageFacts:
        """Of the training data; a loaded run whose data are gone has them in its folder."""
        gone = not Path(self.config.train).exists()
        return ImageFacts.load(self._run) if gone and self._run is not None else self._stores["train"].facts

    @cached_property
    def _image_tokenizer(self) -> ImageTokenizer:
        folder = self._stores["train"].folder if self._run is None else self._run
        return load_image_tokenizer(folder / IMAGE_TOKENIZER).requires_grad_(False)
