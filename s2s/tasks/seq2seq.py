"""Fine-tuning on source-target pairs: the causal, masked and pseudo-masked layouts, and sources to generate from.

One example, source [CLS] a b [SEP], target x y, as each method lays it out (step codes below the tokens):

    pseudo_masked   [CLS] a b [SEP] | x y [SEP] | [M] [M] [M]      predicts x y [SEP] at the three pseudo slots
                      0   0 0   0     1 2   3     -1  -2  -3
    masked          [CLS] a b [SEP] | x [M] [SEP]                  predicts y at the masked slot
                      0   0 0   0     1  2    3
    causal          [CLS] a b | [SEP] x y                          predicts x y [SEP], each one slot before its place
                      0   0 0     1   2 3

Source: Bao et al. 2021, "s2s-ft"; Bao et al. 2020, "UniLMv2"; specs/s2s-ft.md, section 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from s2s.config import Section
from s2s.data.batch import PADDING, Feeding, SourceBatch, TokenBatch
from s2s.data.corpus import Corpus, Fields, Limits
from s2s.data.jsonl import text_field
from s2s.data.tokenizer import SpecialIds, Tokenizer
from s2s.errors import ConfigError, InputError
from s2s.registry import register_task
from s2s.tasks.base import GenerationTask

Ids = NDArray[np.int64]
Method = Literal["causal", "masked", "pseudo_masked"]


@dataclass(frozen=True)
class Noise:
    """How tokens are corrupted, and which.

    Args:
        target_mask_prob: Pseudo-masked: share of the true target tokens that are corrupted too. Masked: share of the
            target that is corrupted and predicted. Causal: share of the target inputs that are corrupted.
        source_mask_prob: Share of source tokens that are corrupted; 0 is none.
        random_prob: A corrupted token becomes a random one, with this probability.
        keep_prob: A corrupted token stays what it is, with this probability; otherwise it becomes the mask token.
        max_masked: Most corrupted target tokens of the masked method; None is no cap.
        replacements: Ids to draw random tokens from, `(R,)`.
    """

    target_mask_prob: float
    source_mask_prob: float
    random_prob: float
    keep_prob: float
    max_masked: int | None
    replacements: Ids


@dataclass(frozen=True)
class Layout:
    """One training example as it is fed; every array is int64.

    Args:
        source: Source ids with special tokens, `(ns,)`.
        target: Target ids as fed at the true slots, noise included, `(nt,)`.
        pseudo: Ids fed at the pseudo slots, `(nt,)`, or `(0,)` without pseudo slots.
        slots: Target slots (pseudo slots if there are any) where a label is predicted, `(N,)`.
        labels: What is predicted there, `(N,)`.
        id: The record's id.
    """

    source: Ids
    target: Ids
    pseudo: Ids
    slots: Ids
    labels: Ids
    id: str = ""


def room(method: Method, max_source: int, max_target: int) -> tuple[int, int]:
    """Most source and target tokens that fit beside the special tokens."""
    return max_source - (1 if method == "causal" else 2), max_target - 1


def layout(
    source: Sequence[int] | Ids,
    target: Sequence[int] | Ids,
    method: Method,
    special: SpecialIds,
    limits: tuple[int, int],
    noise: Noise,
    generator: np.random.Generator,
) -> Layout:
    """Lay out one pair: cut it, add special tokens, corrupt it, and say what is predicted where.

    Args:
        source: Source ids without special tokens.
        target: Target ids without special tokens.
        limits: Most source and target slots, special tokens counted; the tail is cut.
        generator: Where the noise comes from.

    Source: specs/s2s-ft.md, sections 1.1 and 1.4. Random replacements are never special tokens; in the original they
    may be.
    """
    max_source, max_target = room(method, *limits)
    kept_source, kept_target = np.asarray(source[:max_source]), np.asarray(target[:max_target])
    truth = np.append(kept_target, special.sep).astype(np.int64)
    start = np.concatenate([[special.cls], kept_source]).astype(np.int64)
    if noise.source_mask_prob > 0:
        chosen = generator.random(len(start)) < noise.source_mask_prob
        chosen[0] = False
        start = np.where(chosen, _corrupt(start, special.mask, noise, generator), start)
    corrupted = _corrupt(truth, special.mask, noise, generator)
    everywhere = np.arange(len(truth))
    nothing = np.empty(0, np.int64)
    if method == "causal":
        shifted = np.append(special.sep, truth[:-1])
        chosen = generator.random(len(truth)) < noise.target_mask_prob
        chosen[0] = False
        fed = np.where(chosen, _corrupt(shifted, special.mask, noise, generator), shifted)
        return Layout(start, fed, nothing, everywhere, truth)
    whole_source = np.append(start, special.sep)
    if method == "masked":
        slots = _masked_slots(len(truth), noise, generator)
        fed = truth.copy()
        fed[slots] = corrupted[slots]
        return Layout(whole_source, fed, nothing, slots, truth[slots])
    chosen = generator.random(len(truth)) < noise.target_mask_prob
    return Layout(whole_source, np.where(chosen, corrupted, truth), corrupted, everywhere, truth)


def _corrupt(ids: Ids, mask: int, noise: Noise, generator: np.random.Generator) -> Ids:
    draw = generator.random(len(ids))
    others = noise.replacements[generator.integers(len(noise.replacements), size=len(ids))]
    changed = np.where(draw < noise.keep_prob + noise.random_prob, others, mask)
    return np.where(draw < noise.keep_prob, ids, changed)


def _masked_slots(length: int, noise: Noise, generator: np.random.Generator) -> Ids:
    count = int(noise.target_mask_prob * length)
    if noise.max_masked is not None:
        count = min(count, noise.max_masked)
    return np.sort(generator.permutation(length)[: max(1, count)])


def pack(layouts: Sequence[Layout], pad_id: int) -> TokenBatch:
    """A batch: sources padded on the right, then true target slots, then pseudo slots if the layouts have any.

    Target and pseudo slot i have position ns + i, whatever the padding.
    """
    rows = len(layouts)
    context = max(len(item.source) for item in layouts)
    width = max(len(item.target) for item in layouts)
    blocks = 2 if len(layouts[0].pseudo) else 1
    shape = (rows, context + blocks * width)
    tokens = np.full(shape, pad_id, np.int64)
    positions, segments = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    segments[:, context:] = 1
    steps = np.full(shape, PADDING, np.int64)
    slots = []
    for row, item in enumerate(layouts):
        ns, nt = len(item.source), len(item.target)
        tokens[row, :ns], positions[row, :ns], steps[row, :ns] = item.source, np.arange(ns), 0
        for block, (ids, sign) in enumerate([(item.target, 1), (item.pseudo, -1)][:blocks]):
            first = context + block * width
            tokens[row, first : first + nt] = ids
            positions[row, first : first + nt] = ns + np.arange(nt)
            steps[row, first : first + nt] = sign * np.arange(1, nt + 1)
        slots.append(row * shape[1] + context + (blocks - 1) * width + item.slots)
    return TokenBatch(
        ids=[item.id for item in layouts],
        tokens=torch.from_numpy(tokens),
        positions=torch.from_numpy(positions),
        segments=torch.from_numpy(segments),
        steps=torch.from_numpy(steps),
        context=context,
        slots=torch.from_numpy(np.concatenate(slots)),
        labels=torch.from_numpy(np.concatenate([item.labels for item in layouts])),
        pad_id=pad_id,
    )


class PairDataset:
    """Training examples of a corpus; the noise of one depends on (seed, epoch, index) alone."""

    def __init__(
        self, corpus: Corpus, method: Method, special: SpecialIds, limits: tuple[int, int], noise: Noise, seed: int
    ) -> None:
        self._corpus = corpus
        self._method: Method = method
        self._special = special
        self._limits = limits
        self._noise = noise
        self._seed = seed
        source = corpus.sources.lengths + (1 if method == "causal" else 2)
        target = corpus.targets.lengths + 1
        self.lengths = np.stack([source, target * (2 if method == "pseudo_masked" else 1)], axis=1)
        """Slots of the source and of the target blocks, `(N, 2)`."""

    def __len__(self) -> int:
        return len(self._corpus)

    def example(self, index: int, epoch: int) -> Layout:
        """One example, laid out."""
        generator = np.random.default_rng([self._seed, epoch, index])
        source, target = self._corpus.sources[index], self._corpus.targets[index]
        made = layout(source, target, self._method, self._special, self._limits, self._noise, generator)
        return Layout(made.source, made.target, made.pseudo, made.slots, made.labels, self._corpus.id(index))


@dataclass(frozen=True)
class Source:
    """A source to generate from: its id, its ids with special tokens, a forced prefix, how many tokens were cut."""

    id: str
    tokens: list[int]
    prefix: list[int]
    num_cut: int


@register_task("seq2seq")
class Seq2Seq(GenerationTask):
    """Source-target pairs for an encoder that learns to generate."""

    class Config(Section):
        """Options of the seq2seq task."""

        train: str | list[str] | None = None
        """Training records: JSON-lines files, .parquet/.csv/.tsv files, data-set folders, or hub ids ("name:split")."""
        valid: str | list[str] | None = None
        """Validation records, likewise; none means no validation."""
        tokenizer: str | None = None
        """Folder or hub id of the tokenizer. Default: that of the model."""
        method: Method = "pseudo_masked"
        """How the encoder learns to generate: causal, masked (UniLM v1) or pseudo_masked (UniLM v2)."""
        max_source: int = Field(464, ge=3)
        """Most source slots, special tokens counted; longer sources lose their end."""
        max_target: int = Field(48, ge=2)
        """Most target slots, the end token counted; longer targets lose their end."""
        target_mask_prob: float = Field(0.5, ge=0, le=1)
        """Pseudo-masked: share of the true target tokens corrupted as well, against copying the history. Masked: share
        of the target masked and predicted. Causal: share of the target inputs corrupted; 0 is plain teacher forcing."""
        source_mask_prob: float = Field(0, ge=0, le=1)
        """Share of source tokens that are corrupted."""
        random_prob: float = Field(0.1, ge=0, le=1)
        """A corrupted token becomes a random one (never a special one) with this probability."""
        keep_prob: float = Field(0.1, ge=0, le=1)
        """A corrupted token stays what it is with this probability."""
        max_masked: int | None = Field(None, ge=1)
        """Masked method: most target tokens masked in one example. Default: no cap."""
        lower_case: bool | None = None
        """Lower-case text first. Default: as the tokenizer does."""
        added_tokens: tuple[str, ...] = ()
        """Tokens that are never split, such as "[X_SEP]"; the vocabulary grows by those that it lacks."""
        source_field: str = "src"
        """Field of a record that holds the source: text, or a list of vocabulary items."""
        target_field: str = "tgt"
        """Field that holds the target: text, or a list of vocabulary items."""
        id_field: str = "id"
        """Field that holds the record's id; a record may lack it."""
        strict: bool = False
        """Refuse sources and targets that are too long, instead of cutting them."""
        output: Literal["readable", "s2s_ft"] = "readable"
        """Form of the generated text: readable, or words apart from punctuation as s2s-ft writes it."""

    def __init__(self, config: Seq2Seq.Config) -> None:
        super().__init__(config)
        if config.keep_prob + config.random_prob > 1:
            raise ConfigError("task.keep_prob and task.random_prob together must be at most 1")
        if config.tokenizer is None:
            raise ConfigError("task.tokenizer: must be given, a folder or a hub id")
        self.config: Seq2Seq.Config = config
        self._tokenizer = Tokenizer.load(config.tokenizer, config.lower_case, config.added_tokens)
        self._special = self._tokenizer.special
        self._fields = Fields(config.source_field, config.target_field, config.id_field)
        self._room = room(config.method, config.max_source, config.max_target)

    def dataset(self, split: str, seed: int) -> PairDataset:
        """The examples of `split` ("train" or "valid").

        Raises:
            ConfigError: the configuration names no file for it.
            InputError: a file is missing, or one of its records is bad.
        """
        paths = {"train": self.config.train, "valid": self.config.valid}[split]
        if not paths:
            raise ConfigError(f"task.{split}: must name at least one file")
        limits = Limits(*self._room, strict=self.config.strict)
        corpus = Corpus.read([paths] if isinstance(paths, str) else paths, self._tokenizer, self._fields, limits)
        noise = Noise(
            self.config.target_mask_prob,
            self.config.source_mask_prob,
            self.config.random_prob,
            self.config.keep_prob,
            self.config.max_masked,
            np.setdiff1d(np.arange(self._tokenizer.vocab_size), self._tokenizer.special_ids),
        )
        limits_with_specials = (self.config.max_source, self.config.max_target)
        return PairDataset(corpus, self.config.method, self._special, limits_with_specials, noise, seed)

    def collate(self, examples: Sequence[Layout]) -> TokenBatch:
        """A batch of examples; see `pack`."""
        return pack(examples, self._special.pad)

    def source(self, record: dict[str, Any], where: str) -> Source:
        """The source of one input record, cut to `max_source` slots; its "prefix" field begins the output.

        Raises:
            InputError: the source is missing, empty or of the wrong type, or too long under `strict`.
        """
        field = self._fields.source
        ids = self._tokenizer.encode(text_field(record, field, where))
        if not ids:
            raise InputError(f"{where}: {field!r} holds no token (only blanks or control characters)")
        most = self._room[0]
        if self.config.strict and len(ids) > most:
            raise InputError(f"{where}: {field!r} has {len(ids)} tokens, at most {most} are allowed (task.strict)")
        end = [] if self.config.method == "causal" else [self._special.sep]
        prefix = self._tokenizer.encode(text_field(record, "prefix", where)) if record.get("prefix") else []
        return Source(
            id=str(record.get(self._fields.id, where)),
            tokens=[self._special.cls, *ids[:most], *end],
            prefix=prefix,
            num_cut=max(0, len(ids) - most),
        )

    def collate_sources(self, examples: Sequence[Source]) -> SourceBatch:
        """A batch of sources, padded on the right."""
        width = max(len(example.tokens) for example in examples)
        pad = self._special.pad
        rows = [example.tokens + [pad] * (width - len(example.tokens)) for example in examples]
        return SourceBatch(
            ids=[example.id for example in examples],
            tokens=torch.tensor(rows),
            lengths=torch.tensor([len(example.tokens) for example in examples]),
            feeding=self.feeding,
            prefixes=[example.prefix for example in examples],
        )

    @property
    def feeding(self) -> Feeding:
        """How the model is fed while it generates: from [SEP] on for causal, else with [MASK] at the open place."""
        if self.config.method == "causal":
            return Feeding(end=self._special.sep, start=self._special.sep)
        return Feeding(end=self._special.sep, mask=self._special.mask)

    def text(self, tokens: Sequence[int]) -> str:
        """The text of generated tokens."""
        return self._tokenizer.text(tokens) if self.config.output == "readable" else self._tokenizer.s2s_ft_text(tokens)

    def token_id(self, token: str) -> int:
        """The id of one vocabulary item."""
        return self._tokenizer.token_id(token)

    def model_defaults(self) -> dict[str, int]:
        """`vocab_size`; `num_positions`; and `added_tokens`, how many of the vocabulary no checkpoint can know."""
        sizes = {
            "vocab_size": self._tokenizer.vocab_size,
            "num_positions": self.config.max_source + self.config.max_target,
        }
        return sizes | ({"added_tokens": self._tokenizer.num_added} if self._tokenizer.num_added else {})

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files into a run folder."""
        self._tokenizer.save(folder)
