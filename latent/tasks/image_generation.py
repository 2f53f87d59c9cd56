"""The data of models that draw: what a picture shows, then its latents; see `latent.data.image_prompts`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from latent.data.batch import MixedBatch
from latent.data.image_prompts import EMPTY_PROMPT, LATENT, PAD, ImageVocabulary
from latent.data.image_store import IMAGE_TOKENIZER, ImageFacts, ImageStore
from latent.data.latent_shards import Latents
from latent.data.latent_store import copy_tokenizer
from latent.data.speech_prompts import padded_sequences
from latent.tasks.speech_synthesis import FrontEndSection
from s2s.config import Section
from s2s.errors import ConfigError, InputError
from s2s.registry import register_task
from s2s.tasks.base import Dataset, Task


@dataclass(frozen=True)
class ImageExample:
    """A sequence: `tokens` with ⟂ where `latents` `(N, L)` stand; slots from `start` on are predicted."""

    id: str
    tokens: list[int]
    latents: Latents
    start: int


class ImageDataset:
    """Pictures of a store. Noise and dropout depend only on the seed, the epoch and the index."""

    def __init__(self, store: ImageStore, prompts: list[list[int]], dropout: float, seed: int, fixed: bool) -> None:
        self._store, self._prompts, self._dropout, self._seed, self._fixed = store, prompts, dropout, seed, fixed
        self.lengths: NDArray[np.int64] = np.array([len(prompt) + store.facts.num_latents for prompt in prompts])

    def __len__(self) -> int:
        return len(self._store)

    def example(self, index: int, epoch: int) -> ImageExample:
        """See `s2s.tasks.base.Dataset`."""
        generator = np.random.default_rng([self._seed, 0 if self._fixed else epoch, index])
        latents = self._store.facts.sample(self._store.mean(index), generator)
        dropped = generator.random() < self._dropout and not self._fixed
        prompt = EMPTY_PROMPT if dropped else self._prompts[index]
        tokens = [*prompt, *[LATENT] * len(latents)]
        return ImageExample(self._store.pictures[index].id, tokens, latents, len(prompt))


@register_task("image_generation")
class ImageGeneration(Task):
    """Pictures from texts or classes, on the latents of an image tokenizer."""

    model, criterion, decoder = "latent_lm", "next_token_diffusion", "raster_diffusion"

    class Config(Section):
        """Options of the task of drawing."""

        train: str
        """Store of the latents of pictures to learn from."""
        valid: str
        """Store of the latents of pictures to validate with."""
        condition_dropout: float = Field(0.1, ge=0, lt=1)
        """Share of examples without their text, for guidance."""
        front_end: FrontEndSection = FrontEndSection(name="words")
        """How text becomes tokens. words: for classes and captions without new words."""

    config: ImageGeneration.Config

    def __init__(self, config: ImageGeneration.Config) -> None:
        super().__init__(config)
        self._longest = max(len(prompt) for prompts in self._prompts.values() for prompt in prompts)

    @cached_property
    def _stores(self) -> dict[str, ImageStore]:
        stores = {split: ImageStore(getattr(self.config, split)) for split in ("train", "valid")}
        train, valid = (stores[split].facts for split in ("train", "valid"))
        for name in ("latent_size", "grid_size", "image_size", "channels"):
            if getattr(train, name) != getattr(valid, name):
                raise ConfigError(
                    f"task.valid: must have the {name} {getattr(train, name)} of task.train, found "
                    f"{getattr(valid, name)}; encode both with one tokenizer"
                )
        return stores

    @cached_property
    def vocabulary(self) -> ImageVocabulary:
        """The tokens of texts, learned from those of training."""
        texts, front_end = [picture.text for picture in self._stores["train"].pictures], self.config.front_end
        return ImageVocabulary.learn(texts, front_end.name, front_end.file)

    @cached_property
    def _prompts(self) -> dict[str, list[list[int]]]:
        return {split: self._read(split) for split in self._stores}

    def _read(self, split: str) -> list[list[int]]:
        prompts = []
        for picture in self._stores[split].pictures:
            try:
                prompts.append(self.vocabulary.prompt(picture.text))
            except InputError as error:
                raise InputError(f"{getattr(self.config, split)}: {picture.id!r}: {error}") from error
        return prompts

    def inputs(self) -> list[Path]:
        return [store.folder for store in self._stores.values()]

    def dataset(self, split: str, seed: int) -> Dataset:
        dropout = self.config.condition_dropout
        return ImageDataset(self._stores[split], self._prompts[split], dropout, seed, fixed=split == "valid")

    def collate(self, examples: Sequence[Any]) -> MixedBatch:
        sequences = padded_sequences(
            [example.id for example in examples],
            [example.tokens for example in examples],
            [example.latents for example in examples],
            self._stores["train"].facts.latent_size,
            LATENT,
        )
        slots, labels, predicted, before = list[int](), list[int](), list[int](), 0
        for row, example in enumerate(examples):
            targets, first = example.tokens[example.start :], row * sequences.tokens.shape[1] + example.start - 1
            before += len(example.latents)
            if LATENT in targets:  # all pictures have as many, so that none follows need not be predicted
                predicted += range(before - len(targets), before)
            else:
                slots += range(first, first + len(targets))
                labels += targets
        return MixedBatch(
            **vars(sequences),
            slots=torch.tensor(slots, dtype=torch.int64),
            labels=torch.tensor(labels, dtype=torch.int64),
            predicted=torch.tensor(predicted, dtype=torch.int64),
            pad_id=PAD,
        )

    def model_defaults(self) -> dict[str, Any]:
        return self._sizes(self._stores["train"].facts, self._longest)

    def _sizes(self, facts: ImageFacts, longest: int) -> dict[str, Any]:
        """Those of the model, for prompts of at most `longest` tokens."""
        return {
            "vocab_size": len(self.vocabulary),
            "latent_size": facts.latent_size,
            "latent_mean": facts.mean,
            "latent_std": facts.latent_std,
            "num_positions": longest + facts.num_latents + 1,
            "grid_size": facts.grid_size,
        }

    def save(self, folder: Path) -> None:
        store = self._stores["train"]
        self.vocabulary.save(folder)
        store.facts.save(folder)
        copy_tokenizer(store.folder / IMAGE_TOKENIZER, folder, IMAGE_TOKENIZER)
