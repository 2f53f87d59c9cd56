"""Text from speech: the latents of a recording are the source, what is said in it the target.

    [CLS] ⟂ ⟂ ⟂ ⟂ [SEP] | t e x t [SEP] | [M] [M] [M] [M] [M]

⟂ holds a latent. What each position sees, and how targets are learned, is as for text (`s2s.data.layout`). Training
draws latents around the means of the store, and hides some of them (SpecAugment).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from latent.data.batch import HeardBatch, LatentSources
from latent.data.latent_store import TOKENIZER, Latents, LatentStore, StoredUtterance, StoreFacts, copy_tokenizer
from latent.data.written import Writing, character_tokenizer, written
from s2s import hub
from s2s.config import Section
from s2s.data.batch import Ids
from s2s.data.layout import Layout, Method, Noise, feeding, layout, pack, room
from s2s.data.tokenizer import Tokenizer
from s2s.errors import ConfigError, InputError
from s2s.registry import register_task
from s2s.tasks.base import GenerationTask, Reference

logger = logging.getLogger(__name__)


class MaskingSection(Section):
    """What training hides of the latents: it becomes their mean."""

    spans: NonNegativeInt = 2
    """Stretches of time that are hidden, of each recording."""
    longest: NonNegativeInt = 8
    """Latents of a stretch, at most; lengths from 0 to here are equally frequent."""
    bands: NonNegativeInt = 2
    """Ranges of the numbers of a latent that are hidden, the whole recording long."""
    widest: NonNegativeInt = 4
    """Numbers of a range, at most."""


@dataclass(frozen=True)
class HeardExample:
    """A recording and its text, laid out; `latents` `(F, L)` stand between the first and the last source slot."""

    layout: Layout
    latents: Latents
    text: Ids


@dataclass(frozen=True)
class HeardSource:
    """A recording to recognize; `tokens` only keep the slots of its latents `(F, L)`."""

    id: str
    tokens: list[int]
    latents: Latents
    prefix: list[int]
    num_cut: int = 0


def hidden(latents: Latents, masking: MaskingSection, mean: float, generator: np.random.Generator) -> Latents:
    """A copy of latents `(F, L)` with some stretches of both axes replaced by their mean.

    Source: SpecAugment (arXiv 1904.08779), time and frequency masking, on latents instead of a spectrum.
    """
    changed: Latents = latents.copy()
    for axis, count, most in ((0, masking.spans, masking.longest), (1, masking.bands, masking.widest)):
        size = changed.shape[axis]
        for _ in range(count):
            length = int(generator.integers(min(most, size // 2), endpoint=True))
            start = int(generator.integers(size - length, endpoint=True))
            np.moveaxis(changed, axis, 0)[start : start + length] = mean
    return changed


class HeardDataset:
    """Utterances of a store that fit; draws and masks of one depend on the seed, the epoch and the index alone."""

    def __init__(self, task: SpeechRecognition, store: LatentStore, seed: int, fixed: bool) -> None:
        self._task, self._store, self._seed, self._fixed = task, store, seed, fixed
        texts = [task.target(utterance) for utterance in store.utterances]
        fits = [task.fits(one.frames, len(text)) for one, text in zip(store.utterances, texts, strict=True)]
        self._kept = [index for index, fitting in enumerate(fits) if fitting]
        if not self._kept:
            raise InputError(f"{store.folder}: no utterance has words and fits into {task.limits}")
        if left_out := len(fits) - len(self._kept):
            logger.warning(
                f"{store.folder}: {left_out:,} of {len(fits):,} utterances have no words or do not fit into "
                f"{task.limits}, and are left out"
            )
        self._texts = [np.array(texts[index], np.int64) for index in self._kept]
        blocks = 2 if task.config.method == "pseudo_masked" else 1
        sources = [
            store.utterances[index].frames + (1 if task.config.method == "causal" else 2) for index in self._kept
        ]
        targets = [blocks * (len(text) + 1) for text in self._texts]
        self.lengths: NDArray[np.int64] = np.stack([np.array(sources), np.array(targets)], axis=1)

    def __len__(self) -> int:
        return len(self._kept)

    def example(self, index: int, epoch: int) -> HeardExample:
        """See `s2s.tasks.base.Dataset`."""
        generator = np.random.default_rng([self._seed, 0 if self._fixed else epoch, index])
        stored, text = self._store.utterances[self._kept[index]], self._texts[index]
        latents = self._store.mean(self._kept[index])
        if not self._fixed:
            facts = self._store.facts
            latents = hidden(facts.sample(latents, generator), self._task.config.masking, facts.mean, generator)
        laid_out = self._task.lay_out(len(latents), text, generator)
        return HeardExample(replace(laid_out, id=stored.id), latents, text)

    def heard(self, place: int) -> tuple[StoredUtterance, Latents]:
        """An utterance and its latents, without noise."""
        return self._store.utterances[self._kept[place]], self._store.mean(self._kept[place])


@register_task("speech_recognition")
class SpeechRecognition(GenerationTask):
    """Text from the latents of speech, by UniLM or by LatentLM (`model.name=latent_lm_listener task.method=causal`)."""

    model, criterion, decoder = "latent_unilm", "hybrid_ctc", "beam"
    has_tokenizer = True

    class Config(Section):
        """Options of the task of speech recognition."""

        train: str
        """Store of latents to learn from."""
        valid: str
        """Store of latents to validate with."""
        tokenizer: hub.Name = None
        """Folder or hub id of a tokenizer, WordPiece for example. Default: the characters of the training texts."""
        writing: Writing = "words"
        """words: texts become what can be heard, words in lower case without punctuation; as_written: they stay."""
        method: Method = "pseudo_masked"
        """How the model learns to write: causal (UniLM, LatentLM), masked (UniLM v1) or pseudo_masked (UniLM v2)."""
        max_source: PositiveInt = 512
        """Maximum source slots, latents and two special tokens; longer recordings are left out of training."""
        max_target: int = Field(256, ge=2)
        """Maximum target slots, the end token counted; longer texts are left out of training."""
        target_mask_prob: float = Field(0.3, ge=0, le=1)
        """Share of the target tokens that are corrupted as well, so that the model listens instead of guessing from
        what it has written. Masked: share of the target masked and predicted."""
        random_prob: float = Field(0.5, ge=0, le=1)
        """A corrupted token becomes a random one with this probability, else a mask."""
        masking: MaskingSection = MaskingSection()
        """What is hidden of the latents."""

    config: SpeechRecognition.Config

    @classmethod
    def implied(cls, config: SpeechRecognition.Config) -> dict[str, dict[str, Any]]:
        return {"decoder": {"max_length": config.max_target}}

    def __init__(self, config: SpeechRecognition.Config) -> None:
        super().__init__(config)
        self._stores: dict[str, LatentStore] = {}
        if config.tokenizer is None:
            texts = (self._text(utterance) for utterance in self._store("train").utterances)
            self.tokenizer = character_tokenizer(texts)
        else:
            self.tokenizer = Tokenizer.load(config.tokenizer)
        special = self.tokenizer.special
        words = np.setdiff1d(np.arange(self.tokenizer.vocab_size), self.tokenizer.special_ids)
        self._special, self._noise = special, Noise(config.target_mask_prob, 0, config.random_prob, 0, None, words)

    @property
    def limits(self) -> str:
        """The longest recording and text, in words."""
        return f"task.max_source={self.config.max_source} and task.max_target={self.config.max_target}"

    @property
    def max_frames(self) -> int:
        """Latents of the longest recording."""
        return room(self.config.method, self.config.max_source, self.config.max_target)[0]

    def fits(self, frames: int, tokens: int) -> bool:
        """Whether a recording of so many latents and tokens can be learned from."""
        return 0 < tokens < self.config.max_target and frames <= self.max_frames

    def target(self, utterance: StoredUtterance) -> list[int]:
        """The tokens of what is said, without the end token."""
        text = self._text(utterance)
        return self.tokenizer.encode_many([text])[0] if text else []

    def lay_out(self, frames: int, text: Ids, generator: np.random.Generator) -> Layout:
        """An example as text has it, with pad tokens where the latents stand."""
        limits = (self.config.max_source, self.config.max_target)
        source = np.full(frames, self._special.pad)
        return layout(source, text, self.config.method, self._special, limits, self._noise, generator)

    def inputs(self) -> list[Path]:
        return [self._store(split).folder for split in ("train", "valid")]

    def dataset(self, split: str, seed: int) -> HeardDataset:
        return HeardDataset(self, self._store(split), seed, fixed=split == "valid")

    def collate(self, examples: Sequence[HeardExample]) -> HeardBatch:
        batch, texts = pack([one.layout for one in examples], self._special.pad), [one.text for one in examples]
        latents, slots = _placed([one.latents for one in examples], batch.tokens.shape[1])
        return HeardBatch(
            **vars(batch),
            latents=latents,
            latent_slots=slots,
            texts=_padded(texts, self._special.pad),
            text_lengths=torch.tensor([len(text) for text in texts]),
            feeding=feeding(self.config.method, self._special),
        )

    def record(self, text: str) -> dict[str, Any]:
        raise InputError("this run hears recordings and reads no text; use `unilatent transcribe`")

    def source(self, record: dict[str, Any], where: str, id: str = "") -> HeardSource:
        raise InputError(f"{where}: this run hears recordings and reads no text; use `unilatent transcribe`")

    def heard(self, id: str, latents: Latents) -> HeardSource:
        """The source of a recording, from its latents `(F, L)`; at most `max_frames` of them."""
        around = 1 if self.config.method == "causal" else 2
        tokens = [self._special.cls, *[self._special.pad] * len(latents), *[self._special.sep] * (around - 1)]
        return HeardSource(id, tokens, latents, prefix=[])

    def references(self, split: str, places: Collection[int]) -> list[Reference]:
        dataset = self.dataset(split, seed=0)
        found = [dataset.heard(place) for place in sorted(places)]
        return [Reference(self.heard(one.id, latents), one.id, self._text(one), "") for one, latents in found]

    def collate_sources(self, examples: Sequence[HeardSource]) -> LatentSources:
        tokens = _padded([one.tokens for one in examples], self._special.pad)
        latents, slots = _placed([one.latents for one in examples], tokens.shape[1])
        return LatentSources(
            ids=[one.id for one in examples],
            tokens=tokens,
            lengths=torch.tensor([len(one.tokens) for one in examples]),
            feeding=feeding(self.config.method, self._special),
            prefixes=[one.prefix for one in examples],
            latents=latents,
            latent_slots=slots,
        )

    def text(self, tokens: Sequence[int]) -> str:
        return self.tokenizer.text(tokens)

    def token_id(self, token: str) -> int:
        return self.tokenizer.token_id(token)

    def model_defaults(self) -> dict[str, Any]:
        """Sizes, and facts about the latents; a loaded run whose training data are gone has them in its folder."""
        facts = self._facts
        return {
            "vocab_size": self.tokenizer.vocab_size,
            "num_positions": self.config.max_source + self.config.max_target,
            "latent_size": facts.latent_size,
            "latent_mean": facts.mean,
            "latent_std": facts.latent_std,
        }

    def save(self, folder: Path) -> None:
        store = self._store("train")
        self.tokenizer.save(folder)
        store.facts.save(folder)
        if (store.folder / TOKENIZER).is_dir():
            copy_tokenizer(store.folder / TOKENIZER, folder)

    @cached_property
    def _facts(self) -> StoreFacts:
        run = Path(str(self.config.tokenizer))
        gone = not Path(self.config.train).exists()
        return StoreFacts.load(run) if gone and run.is_dir() else self._store("train").facts

    def _store(self, split: str) -> LatentStore:
        if split not in self._stores:
            self._stores[split] = LatentStore(getattr(self.config, split))
            if split != "train":
                self._check_latents(self._stores[split].facts)
        return self._stores[split]

    def _check_latents(self, valid: StoreFacts) -> None:
        train = self._store("train").facts
        for name, what in (("latent_size", "numbers per latent"), ("hop_length", "samples per latent")):
            if getattr(train, name) != getattr(valid, name):
                raise ConfigError(
                    f"task.valid: must have {getattr(train, name)} {what} as task.train, found {getattr(valid, name)}; "
                    "encode both with one tokenizer"
                )
        if train.encoder_sha256 != valid.encoder_sha256:
            raise ConfigError("task.valid: must be of the speech encoder of task.train; encode both with one")

    def _text(self, utterance: StoredUtterance) -> str:
        return written(utterance.text, utterance.language, self.config.writing)


def _placed(latents: Sequence[Latents], width: int) -> tuple[Tensor, Tensor]:
    """Latents of rows in one tensor, and their flat slots: those after the first of each row of `width` slots."""
    slots = [row * width + 1 + np.arange(len(one)) for row, one in enumerate(latents)]
    return torch.from_numpy(np.concatenate(latents)), torch.from_numpy(np.concatenate(slots))


def _padded(rows: Sequence[Sequence[int] | Ids], pad: int) -> Tensor:
    return pad_sequence([torch.as_tensor(row) for row in rows], batch_first=True, padding_value=pad)
