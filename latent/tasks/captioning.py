"""Text from pictures: a picture is the source, or a picture and a text; what is said about it is the target."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveInt
from torch.nn.utils.rnn import pad_sequence

from latent.data.batch import SeenBatch, SeenSources
from latent.data.captions import (
    LANGUAGE,
    SOURCE,
    Captioned,
    Pictured,
    language_of,
    lay_out_caption,
    pack_captions,
    read_captions,
)
from latent.data.manifest import string_field
from latent.data.written import piece_tokenizer
from latent.images.files import Pixels
from latent.images.variation import VariationSection, varied
from latent.images.vision_encoder import VisionEncoder, copy_in_run
from s2s import hub
from s2s.config import Section
from s2s.data.batch import Ids
from s2s.data.corpus import Side, id_of
from s2s.data.layout import Layout, Noise, feeding, room
from s2s.data.phrases import Phrase, phrases_of
from s2s.data.records import open_records
from s2s.data.splits import Role
from s2s.data.tokenizer import Tokenizer
from s2s.errors import ConfigError, InputError
from s2s.registry import register_task
from s2s.shipped import data_path
from s2s.tasks.base import GenerationTask, Reference

logger = logging.getLogger(__name__)

_KNOWN_BYTES = 1 << 30
"""Features of training pictures that are kept in memory, of each split."""


@dataclass(frozen=True)
class SeenExample:
    """A caption, laid out, and the pixels `(C, S, S)` of its picture."""

    layout: Layout
    pixels: Pixels


@dataclass(frozen=True)
class SeenSource:
    """A picture to write about; `tokens` keep its places, and hold the text that is read with it."""

    id: str
    tokens: list[int]
    picture: Pictured
    prefix: list[int]
    num_cut: int = 0
    constraints: list[Phrase] = field(default_factory=list)


class CaptionDataset:
    """Captions with their pictures, read when they are needed; masks and variations of one depend on the seed, the
    epoch and the index alone.
    """

    def __init__(self, task: Captioning, captions: list[Captioned], seed: int, fixed: bool) -> None:
        self._task, self._captions, self._seed, self._fixed = task, captions, seed, fixed
        self._whole = fixed or (task.has_encoder and not task.config.variation.is_any)
        self._features: dict[Path, Pixels] = {}
        self._targets = [np.array(ids, np.int64) for ids in task.targets(captions)]
        self._read = task.read(captions)
        blocks = 2 if task.config.method == "pseudo_masked" else 1
        sources = [task.places + len(ids) + (1 if task.alone else 2) for ids in self._read]
        targets = [blocks * (len(ids) + 1) for ids in self._targets]
        self.lengths: NDArray[np.int64] = np.stack([np.array(sources), np.array(targets)], axis=1)

    def __len__(self) -> int:
        return len(self._captions)

    def example(self, index: int, epoch: int) -> SeenExample:
        """See `s2s.tasks.base.Dataset`; InputError if the picture cannot be read."""
        generator = np.random.default_rng([self._seed, 0 if self._fixed else epoch, index])
        picture = self._captions[index].picture
        pixels = self._known(picture) if self._whole else self._task.varied_pixels(picture, generator)
        laid_out = self._task.lay_out(self._targets[index], self._read[index], generator)
        return SeenExample(replace(laid_out, id=picture.where), pixels)

    def _known(self, picture: Pictured) -> Pixels:
        """What is read of a whole picture; features cost much more than pixels, and are kept."""
        if (found := self._features.get(picture.image)) is not None:
            return found
        pixels = self._task.pixels(picture)
        if self._task.has_encoder and len(self._features) * pixels.nbytes < _KNOWN_BYTES:
            self._features[picture.image] = pixels
        return pixels


@register_task("captioning")
class Captioning(GenerationTask):
    """Captions of pictures, by UniLM with an image as source (BEiT-3)."""

    model, criterion, decoder = "image_unilm", "captioning", "beam"
    has_tokenizer = True

    class Config(Section):
        """Options of the task of captions."""

        train: str | list[str] | None = None
        """Records to learn from, in the formats of seq2seq: `image`, a file, its path relative to that of the records
        or to the working directory, and `tgt`, a caption or a list of them."""
        valid: str | list[str] | None = None
        """Records to validate with. Default: no validation."""
        tokenizer: hub.Name = None
        """Folder or hub id of a tokenizer. Default: `pieces` of the training captions."""
        pieces: int = Field(2000, ge=100)
        """Maximum size of the vocabulary that is learned where there is no tokenizer."""
        lower_case: bool | None = None
        """Lower-case captions first. Default: as the tokenizer does; learned pieces do."""
        source: Literal["image", "image+text"] = "image"
        """What is read: pictures, or pictures with the text in `src`, a question for example."""
        method: Literal["causal", "masked", "pseudo_masked"] = "pseudo_masked"
        """How the model learns to write: causal (UniLM), masked (UniLM v1, BEiT-3) or pseudo_masked (UniLM v2)."""
        image_size: PositiveInt = 64
        """Pixels of a picture, a side; the square in its middle is resized."""
        patch_size: PositiveInt = 8
        """Pixels of a patch, a side; each is a place of the source. It must divide `image_size`."""
        channels: Literal[1, 3] = 3
        """1: gray, 3: color."""
        vision_encoder: hub.Name = None
        """Folder or hub id of a network of transformers that sees pictures of `image_size`: CLIP, DINOv2, a ViT, an
        EfficientNet. Its last features, a vector for each place, are read instead of patches; it stays as it is."""
        max_source: int = Field(32, ge=3)
        """Maximum slots of the text that is read with a picture, special tokens counted; longer ones lose their end."""
        max_target: int = Field(32, ge=2)
        """Maximum target slots, the end token counted; longer captions lose their end."""
        languages: tuple[str, ...] = ()
        """Languages of the captions, one of which each record then names in `language`, also those to decode."""
        target_mask_prob: float = Field(0.5, ge=0, le=1)
        """Pseudo-masked: share of the true target tokens corrupted as well. Masked: share masked and predicted (BEiT-3:
        0.7). Causal: share of the target inputs corrupted."""
        random_prob: float = Field(0.1, ge=0, le=1)
        """A corrupted token becomes a random one with this probability."""
        keep_prob: float = Field(0.1, ge=0, le=1)
        """A corrupted token stays what it is with this probability."""
        variation: VariationSection = VariationSection()
        """How training varies its pictures."""

    config: Captioning.Config

    @classmethod
    def implied(cls, config: Captioning.Config) -> dict[str, dict[str, Any]]:
        return {"decoder": {"max_length": config.max_target}}

    def __init__(self, config: Captioning.Config) -> None:
        super().__init__(config)
        if config.vision_encoder is None and config.image_size % config.patch_size:
            size, patch = config.image_size, config.patch_size
            raise ConfigError(f"task.patch_size: must divide task.image_size ({size}), found {patch}")
        if config.keep_prob + config.random_prob > 1:
            raise ConfigError("task.keep_prob and task.random_prob together must be at most 1")
        self._encoder = self._open_encoder()
        self._facts = self._picture_facts()
        self.places = (self._facts["image_size"] // self._facts["patch_size"]) ** 2 + 1
        """Of a picture: one for the whole, one for each patch."""
        self.alone = config.source == "image"
        self._captions: dict[str, list[Captioned]] = {}
        tokens = [f"[lang:{language}]" for language in config.languages]
        if config.tokenizer is None:
            texts = [one.caption for one in self._all("train")] + [one.source for one in self._all("train")]
            self.tokenizer = piece_tokenizer(texts, config.pieces, config.lower_case is not False, tokens)
        else:
            self.tokenizer = Tokenizer.load(config.tokenizer, config.lower_case, tokens)
        languages = zip(config.languages, map(self.tokenizer.token_id, tokens), strict=True)
        self._languages: dict[str, int] = dict(languages)
        max_source, max_target = room(config.method, config.max_source, config.max_target)
        self._source, self._target = Side("source", max_source - bool(tokens)), Side("target", max_target)
        self._special = self.tokenizer.special
        words = np.setdiff1d(np.arange(self.tokenizer.vocab_size), self.tokenizer.special_ids)
        self._noise = Noise(config.target_mask_prob, 0, config.random_prob, config.keep_prob, None, words)

    # Training

    @property
    def has_validation(self) -> bool:
        return bool(self.config.valid)

    def inputs(self) -> list[Path]:
        """The records; pictures are not read again for a comparison."""
        names = (name for split in ("train", "valid") for name in self._files(split))
        encoder = [] if self._encoder is None else self._encoder.files
        return [*(path for name in names if (path := Path(name)).exists()), *encoder]

    def dataset(self, split: str, seed: int) -> CaptionDataset:
        return CaptionDataset(self, self._all(split), seed, fixed=split == "valid")

    def targets(self, captions: Sequence[Captioned]) -> list[list[int]]:
        """The tokens of captions, cut, that of the language first; InputError if one gives no token."""
        texts, places = [one.caption for one in captions], [one.picture.where for one in captions]
        encoded = self._target.encode(texts, "tgt", places, self.tokenizer)
        return [ids[: self._target.limit] for ids in encoded]

    def read(self, captions: Sequence[Captioned]) -> list[list[int]]:
        """The tokens that are read with pictures: the language, then the text, cut; errors as for `targets`."""
        texts, places = [one.source for one in captions], [one.picture.where for one in captions]
        encoded = [[] for _ in texts] if self.alone else self._source.encode(texts, SOURCE, places, self.tokenizer)
        kept = (ids[: self._source.limit] for ids in encoded)
        return [self._language(one.language) + ids for one, ids in zip(captions, kept, strict=True)]

    def lay_out(self, target: Ids, read: Sequence[int], generator: np.random.Generator) -> Layout:
        """An example as text has it, after the places of a picture."""
        limits = (self.config.max_source, self.config.max_target)
        arguments = (self.config.method, self._special, limits, self._noise, generator)
        return lay_out_caption(target, np.array(read, np.int64), self.alone, self.places, *arguments)

    def pixels(self, picture: Pictured) -> Pixels:
        """The pixels `(C, S, S)` of a picture, or its features; InputError, with the line, if it cannot be read."""
        return self._seen(picture.pixels(self.config.image_size, self.config.channels))

    def varied_pixels(self, picture: Pictured, generator: np.random.Generator) -> Pixels:
        """The same of a part of it, as training sees it."""
        size, variation = self.config.image_size, self.config.variation
        larger = picture.pixels(round(size * variation.read_factor), self.config.channels)
        return self._seen(varied(larger, size, variation, generator))

    @property
    def has_encoder(self) -> bool:
        """Whether features of a vision encoder are read instead of pixels."""
        return self._encoder is not None

    def _seen(self, pixels: Pixels) -> Pixels:
        return pixels if self._encoder is None else self._encoder(pixels)

    def _open_encoder(self) -> VisionEncoder | None:
        """The encoder that the task names, of the run folder if this is the task of a run."""
        name, run = self.config.vision_encoder, self.config.tokenizer
        if name is None:
            return None
        if self.config.channels != 3:
            raise ConfigError(f"task.channels: must be 3 with task.vision_encoder, found {self.config.channels}")
        own = None if run is None else copy_in_run(name, Path(run))
        return VisionEncoder(str(own or name), self.config.image_size)

    def _picture_facts(self) -> dict[str, int]:
        """The sizes of what the model reads: pixels and their patches, or features, each a patch."""
        if self._encoder is None:
            return {name: getattr(self.config, name) for name in ("image_size", "patch_size", "channels")}
        return {"image_size": self._encoder.grid_size, "patch_size": 1, "channels": self._encoder.channels}

    def collate(self, examples: Sequence[SeenExample]) -> SeenBatch:
        layouts, images = [one.layout for one in examples], [one.pixels for one in examples]
        return pack_captions(layouts, images, self.places, self.alone, self._special.pad)

    # Generation

    def record(self, text: str) -> dict[str, Any]:
        raise InputError('this run reads pictures, found a text; give records such as {"image": "cat.png"}')

    def source(self, record: dict[str, Any], where: str, id: str = "") -> SeenSource:
        picture = Pictured.of(record, where)
        ids = [] if self.alone else self._encoded(self._source, SOURCE, record, where)
        kept = ids[: self._source.limit]
        language = self._language(language_of(record, where, self.config.languages))
        start = [*[self._special.pad] * self.places, self._special.cls, *language]
        closing = [] if self.alone or self.config.method == "causal" else [self._special.sep]
        return SeenSource(
            id=id_of(record, id or where, self.id_field),
            tokens=[*start, *kept, *closing],
            picture=picture,
            prefix=[] if record.get("prefix") in (None, "") else self._encoded(self._target, "prefix", record, where),
            num_cut=len(ids) - len(kept),
            constraints=phrases_of(record, where, self.tokenizer),
        )

    def _encoded(self, side: Side, name: str, record: dict[str, Any], where: str) -> list[int]:
        return side.encode([string_field(record, name, where)], name, [where], self.tokenizer)[0]

    def references(self, split: str, places: Collection[int]) -> list[Reference]:
        captions = self._all(split)
        found = [captions[place] for place in sorted(places)]
        return [Reference(self._example(one), str(one.picture.image), one.caption, "") for one in found]

    def _example(self, one: Captioned) -> SeenSource:
        record = {"image": str(one.picture.image.absolute()), SOURCE: one.source, LANGUAGE: one.language}
        return self.source(record, one.picture.where)

    def collate_sources(self, examples: Sequence[SeenSource]) -> SeenSources:
        rows = [torch.tensor(example.tokens) for example in examples]
        return SeenSources(
            ids=[example.id for example in examples],
            tokens=pad_sequence(rows, batch_first=True, padding_value=self._special.pad),
            lengths=torch.tensor([len(row) for row in rows]),
            feeding=feeding(self.config.method, self._special),
            prefixes=[example.prefix for example in examples],
            constraints=[[phrase.tokens for phrase in example.constraints] for example in examples],
            images=torch.from_numpy(np.stack([self.pixels(example.picture) for example in examples])),
            places=self.places,
            alone=self.alone,
        )

    def text(self, tokens: Sequence[int]) -> str:
        languages = set(self._languages.values())
        return self.tokenizer.text([token for token in tokens if token not in languages])

    def token_id(self, token: str) -> int:
        return self.tokenizer.token_id(token)

    def model_defaults(self) -> dict[str, Any]:
        """`vocab_size`, `num_positions`, `added_tokens` as of seq2seq, and the sizes of pictures."""
        text = 1 + bool(self.config.languages) if self.alone else self.config.max_source
        sizes = {"vocab_size": self.tokenizer.vocab_size, "added_tokens": self.tokenizer.num_added}
        return {**self._facts, **sizes, "num_positions": self.places + text + self.config.max_target}

    def save(self, folder: Path) -> None:
        self.tokenizer.save(folder)
        if self._encoder is not None:
            self._encoder.save(folder)

    def _language(self, language: str) -> list[int]:
        return [self._languages[language]] if language else []

    def _files(self, split: str) -> list[str]:
        given = getattr(self.config, split) or []
        return [data_path(name) for name in ([given] if isinstance(given, str) else given)]

    def _all(self, split: str) -> list[Captioned]:
        """The captions of a split, one after the other."""
        if split not in self._captions:
            role: Role = "valid" if split == "valid" else "train"
            if not (files := self._files(split)):
                raise ConfigError(f"task.{split}: must name at least one file")
            records = (open_records(name, role) for name in files)
            arguments = (not self.alone, self.config.languages)
            groups = itertools.chain.from_iterable(read_captions(one, *arguments) for one in records)
            self._captions[split] = list(itertools.chain.from_iterable(groups))
        return self._captions[split]
