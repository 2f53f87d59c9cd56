"""Fine-tuning on source-target pairs by any of three methods (`s2s.data.layout`), and sources to generate from."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch.nn.utils.rnn import pad_sequence

from s2s import hub
from s2s.config import Section
from s2s.data.batch import Ids, ShiftedBatch, SourceBatch, TokenBatch
from s2s.data.copying import Extension
from s2s.data.corpus import Corpus, Side, id_of, pairs_of, tags_of
from s2s.data.fields import PSEUDO_TARGET, SOURCE, TARGET, Fields, TextField
from s2s.data.layout import (
    NOT_COPIED,
    SHIFTED,
    Layout,
    Method,
    Noise,
    around,
    copies_around,
    feeding,
    pack,
    padded,
    room,
)
from s2s.data.pair_dataset import PairDataset
from s2s.data.phrases import Phrase, phrases_of
from s2s.data.records import Records, open_records
from s2s.data.spelling import FILE as SPELLING
from s2s.data.spelling import Spelling
from s2s.data.splits import Role
from s2s.data.token_features import FeatureOptions, channels_of
from s2s.data.tokenizer import Tokenizer
from s2s.durable import refuse_unfinished
from s2s.errors import ConfigError, InputError
from s2s.registry import register_task
from s2s.shipped import data_path
from s2s.tasks.base import GenerationTask, Reference

logger = logging.getLogger(__name__)

_PREFIX = TextField("prefix")
_SPELLED_BY = 100_000
"""Characters of a source that give its output their spelling."""


@dataclass(frozen=True)
class Source:
    """A source to generate from: its id, its ids with special tokens, a forced prefix, how many tokens were cut.

    With features also `tags`, `(n, F)`; with copying `copies`, its extended ids `(n,)`; and the phrases that its output
    must contain.
    """

    id: str
    tokens: list[int]
    prefix: list[int]
    num_cut: int
    tags: Ids | None = None
    constraints: list[Phrase] = field(default_factory=list)
    copies: Ids | None = None


def _files(paths: str | list[str]) -> list[str]:
    return [data_path(path) for path in ([paths] if isinstance(paths, str) else paths)]


def _check_held_out(path: str) -> None:
    """Refuse to validate on a folder that training takes whole; a file that is named twice is meant, but told."""
    if Path(path).is_file():
        logger.warning("%s: is in task.train and in task.valid; the validation loss will tell nothing new", path)
        return
    raise InputError(f"{path}: is in task.train and in task.valid, and has no split for validation; divide it")


@register_task("seq2seq")
class Seq2Seq(GenerationTask):
    """Text to text: an encoder learns to generate the targets of its sources."""

    model, criterion, decoder = "unilm", "cross_entropy", "beam"
    has_tokenizer = True

    class Config(Section):
        """Options of the seq2seq task."""

        train: str | list[str] | None = None
        """Training records: .jsonl, .csv, .tsv or .parquet files, also compressed; folders of such files or written by
        `datasets`; or hub ids. FOLDER:SPLIT and ID:SPLIT name a split; by default the one for training is taken."""
        valid: str | list[str] | None = None
        """Validation records, named in the same way; by default the split for validation. Default: no validation."""
        tokenizer: hub.Name = None
        """Folder or hub id of the tokenizer. Default: that of the model."""
        method: Method = "pseudo_masked"
        """How the encoder learns to generate: causal, masked (UniLM v1) or pseudo_masked (UniLM v2); or
        encoder_decoder, as the model of that name learns, which this implies."""
        max_source: int = Field(464, ge=3)
        """Maximum source slots, special tokens counted; longer sources lose their end."""
        max_target: int = Field(48, ge=2)
        """Maximum target slots, the end token counted; longer targets lose their end."""
        target_mask_prob: float = Field(0.5, ge=0, le=1)
        """Pseudo-masked: share of the true target tokens corrupted as well, against copying the history. Masked: share
        of the target masked and predicted. Causal, encoder_decoder: share of the target inputs corrupted; 0 is plain
        teacher forcing, the default of encoder_decoder."""
        source_mask_prob: float = Field(0, ge=0, le=1)
        """Share of source tokens that are corrupted."""
        random_prob: float = Field(0.1, ge=0, le=1)
        """A corrupted token becomes a random one (never a special one) with this probability."""
        keep_prob: float = Field(0.1, ge=0, le=1)
        """A corrupted token stays what it is with this probability."""
        max_masked: int | None = Field(None, ge=1)
        """Masked method: maximum target tokens masked in one example. Default: no cap."""
        lower_case: bool | None = None
        """Lower-case text first. Default: as the tokenizer does."""
        added_tokens: tuple[str, ...] = ()
        """Tokens that are never split, such as "[X_SEP]"; the vocabulary grows by those that it lacks."""
        source_field: str = SOURCE
        """Field of a record that holds the source: text, or a list of vocabulary items. A path leads into nested fields
        ("translation.en"). Where a record has no `src`, known pairs of names are found: article and highlights,
        document and summary, dialogue and summary, context with answers and question, and others."""
        target_field: str = TARGET
        """Field that holds the target, named in the same way."""
        labels: Literal["gold", "pseudo", "both"] = "gold"
        """Targets of training: gold, the field `target_field`; pseudo, what `prepare pseudo-labels` adds; or both, each
        record once with either. Validation is on gold."""
        source_template: str | None = None
        """Source made of several fields, such as "{context} [SEP] {answers.text.0}"; tokens in capitals and brackets
        are kept, as `added_tokens`."""
        features: FeatureOptions | None = None
        """Features of source tokens that the model reads beside the words: where the answer stands, case, tags."""
        copying: Literal["hard_switch", "pointer_generator"] | None = None
        """Copy words from the source, also those that the vocabulary lacks: hard_switch learns to copy those alone,
        pointer_generator from every place where a word stands. Both imply the criterion and the head of the model."""
        id_field: str = "id"
        """Field that holds the record's id; a record may lack it."""
        strict: bool = False
        """Refuse sources and targets that are too long, instead of cutting them."""
        output: Literal["readable", "s2s_ft"] = "readable"
        """Form of the generated text: readable, or words apart from punctuation as s2s-ft writes it."""
        restore_spelling: bool | None = None
        """Write the words of readable text as their source and the training data do, with capitals and accents.
        Default: if the tokenizer drops capitals."""

        @model_validator(mode="before")
        @classmethod
        def _plain_teacher_forcing(cls, values: Any) -> Any:
            is_plain = isinstance(values, dict) and values.get("method") == "encoder_decoder"
            return {"target_mask_prob": 0.0, **values} if is_plain else values

    config: Seq2Seq.Config

    def __init__(self, config: Seq2Seq.Config) -> None:
        super().__init__(config)
        if config.keep_prob + config.random_prob > 1:
            raise ConfigError("task.keep_prob and task.random_prob together must be at most 1")
        if config.tokenizer is None:
            raise ConfigError(
                "task.tokenizer: must be given, a folder or a hub id; model.init=ENCODER brings one, and weights"
            )
        self._fields, pseudo = (
            Fields(config.source_field, target, config.source_template)
            for target in (config.target_field, PSEUDO_TARGET)
        )
        self._trained = {"gold": (self._fields,), "pseudo": (pseudo,), "both": (self._fields, pseudo)}[config.labels]
        added_tokens = dict.fromkeys([*config.added_tokens, *self._fields.tokens])
        self.tokenizer = Tokenizer.load(config.tokenizer, config.lower_case, tuple(added_tokens))
        self._special = self.tokenizer.special
        self.room = max_source, max_target = room(config.method, config.max_source, config.max_target)
        """Tokens of a source and of a target that are kept, without special tokens."""
        self._source = Side("source", max_source, config.strict)
        self._target = Side("target", max_target, config.strict)
        self._prefix = Side("prefix", max_target)
        self._channels = channels_of(config.features)
        if config.copying and config.method not in SHIFTED:
            raise ConfigError(f"task.copying: needs task.method=encoder_decoder, found {config.method!r}")
        self._opened: dict[tuple[str, Role], Records] = {}

    @classmethod
    def implied(cls, config: Seq2Seq.Config) -> dict[str, dict[str, Any]]:
        sections: dict[str, dict[str, Any]] = {"decoder": {"max_length": config.max_target}}
        if config.method == "encoder_decoder":
            sections["model"] = {"name": "encoder_decoder", "copies": config.copying is not None}
        if config.copying:
            sections["criterion"] = {"name": config.copying}
        return sections

    @property
    def has_validation(self) -> bool:
        return bool(self.config.valid)

    def inputs(self) -> list[Path]:
        given = [*_files(self.config.train or []), *_files(self.config.valid or [])]
        return [path for name in given for path in (Path(name), Path(name.partition(":")[0])) if path.exists()]

    @property
    def id_field(self) -> str:
        return self.config.id_field

    def _inputs(self, split: str) -> Iterator[Records]:
        paths = {"train": self.config.train, "valid": self.config.valid}[split]
        if not paths:
            raise ConfigError(f"task.{split}: must name at least one file")
        role: Role = "valid" if split == "valid" else "train"
        trained_on = _files(self.config.train or []) if split == "valid" else []
        for path in _files(paths):
            if (path, role) not in self._opened:
                self._opened[path, role] = open_records(path, role)
                if path in trained_on and not self._opened[path, role].split:
                    _check_held_out(path)
                if split == "train" and self.config.labels != "gold":
                    for file in self._opened[path, role].files:
                        refuse_unfinished(file)
            yield self._opened[path, role]

    def _inputs_with_fields(self, split: str) -> Iterator[tuple[Records, Fields]]:
        for fields in self._trained if split == "train" else (self._fields,):
            yield from ((records, fields) for records in self._inputs(split))

    def dataset(self, split: str, seed: int) -> PairDataset:
        inputs = self._inputs_with_fields(split)
        sides, extended = (self._source, self._target), self.config.copying is not None
        corpus = Corpus.read(inputs, self.tokenizer, sides, self.config.id_field, self._channels, extended)
        return self.examples(corpus, seed)

    def examples(self, corpus: Corpus, seed: int) -> PairDataset:
        """The examples of tokenized pairs, laid out and with noise as the task is configured."""
        noise = Noise(
            self.config.target_mask_prob,
            self.config.source_mask_prob,
            self.config.random_prob,
            self.config.keep_prob,
            self.config.max_masked,
            np.setdiff1d(np.arange(self.tokenizer.vocab_size), self.tokenizer.special_ids),
        )
        limits = (self.config.max_source, self.config.max_target)
        extended = self.config.copying is not None
        return PairDataset(corpus, self.config.method, self.tokenizer, limits, noise, seed, extended)

    def collate(self, examples: Sequence[Layout]) -> TokenBatch:
        kind = ShiftedBatch if self.config.method in SHIFTED else TokenBatch
        return pack(examples, self._special.pad, kind)

    def record(self, text: str) -> dict[str, Any]:
        return {self.config.source_field: text}

    def source(self, record: dict[str, Any], where: str, id: str = "") -> Source:
        """The source of one input record, cut to `max_source` slots; its "prefix" field begins the output, and the
        output must contain the phrases in its "constraints".

        Raises:
            InputError: the source is missing, empty or of the wrong type, or too long under `strict`; a phrase or the
                prefix cannot be in an output.
        """
        self._fields.log_source(record, where)
        return self._source_of(record, where, id)

    def _source_of(self, record: dict[str, Any], where: str, id: str = "") -> Source:
        field = self._fields.source_of(record)
        ids = self._encoded(self._source, field, record, where)
        kept = ids[: self._source.limit]
        tokens = self.framed(kept)
        return Source(
            id=id_of(record, id or where, self.config.id_field),
            tokens=tokens,
            prefix=[] if record.get("prefix") in (None, "") else self._encoded(self._prefix, _PREFIX, record, where),
            num_cut=len(ids) - len(kept),
            tags=self._tags(record, field, where, len(tokens)),
            constraints=phrases_of(record, where, self.tokenizer),
            copies=self._copies(field.text(record, where), kept, where, len(tokens)) if self.config.copying else None,
        )

    def framed(self, ids: Sequence[int]) -> list[int]:
        """The ids of a source, with special tokens around them."""
        return [self._special.cls, *ids] + ([] if self.config.method == "causal" else [self._special.sep])

    def _copies(self, text: str | list[str], kept: list[int], where: str, length: int) -> Ids:
        if not isinstance(text, str):
            raise InputError(f"{where}: the source must be a string with task.copying, found a list")
        return copies_around(Extension(text, kept, self.tokenizer).extend(text, kept), length)

    def _tags(self, record: dict[str, Any], field: TextField, where: str, length: int) -> Ids | None:
        if not self._channels:
            return None
        text = field.text(record, where)
        columns = tags_of(record, field, text, where, self.tokenizer, self._source, self._channels)
        return around([np.array(column, np.int64) for column in columns], length)

    def _encoded(self, side: Side, field: TextField, record: dict[str, Any], where: str) -> list[int]:
        return side.encode([field.text(record, where)], field.written, [where], self.tokenizer)[0]

    def references(self, split: str, places: Collection[int]) -> list[Reference]:
        pairs = itertools.chain.from_iterable(pairs_of(records, self._fields)[1] for records in self._inputs(split))
        return [
            Reference(
                self._source_of(record, where), self._shown(source), self._shown(target), self.source_text(record)
            )
            for place, (where, record, source, target) in enumerate(pairs)
            if place in places
        ]

    def _shown(self, text: str | list[str]) -> str:
        return text if isinstance(text, str) else self.text(self.tokenizer.encode_many([text])[0])

    def collate_sources(self, examples: Sequence[Source]) -> SourceBatch:
        """A batch of sources, padded on the right."""
        rows = [torch.tensor(example.tokens) for example in examples]
        return SourceBatch(
            ids=[example.id for example in examples],
            tokens=pad_sequence(rows, batch_first=True, padding_value=self._special.pad),
            lengths=torch.tensor([len(row) for row in rows]),
            feeding=feeding(self.config.method, self._special),
            prefixes=[example.prefix for example in examples],
            tags=padded([example.tags for example in examples]) if self._channels else None,
            copies=padded([one.copies for one in examples], NOT_COPIED) if self.config.copying else None,
            constraints=[[phrase.tokens for phrase in example.constraints] for example in examples],
        )

    def text(self, tokens: Sequence[int]) -> str:
        return self.tokenizer.text(tokens) if self.config.output == "readable" else self.tokenizer.s2s_ft_text(tokens)

    def output(self, tokens: Sequence[int], source: str) -> str:
        if max(tokens, default=0) < self.tokenizer.vocab_size:
            return super().output(tokens, source)
        kept = self.tokenizer.encode(source)[: self._source.limit]
        attach = self.config.output == "readable" and self.tokenizer.is_wordpiece
        text = Extension(source, kept, self.tokenizer).text(tokens, self.text, attach)
        return self.spell(text, source)

    def source_text(self, record: dict[str, Any]) -> str:
        text = self._fields.source_of(record).text(record, "") if self._restores or self.config.copying else ""
        return text[:_SPELLED_BY] if isinstance(text, str) else ""

    def spell(self, text: str, source: str) -> str:
        return self._spelling.restore(text, source) if self._restores else text

    @property
    def _restores(self) -> bool:
        wanted = self.config.restore_spelling
        return self.config.output == "readable" and (self.tokenizer.drops_case if wanted is None else wanted)

    @cached_property
    def _spelling(self) -> Spelling:
        return Spelling.load(Path(str(self.config.tokenizer)))

    def token_id(self, token: str) -> int:
        return self.tokenizer.token_id(token)

    def model_defaults(self) -> dict[str, Any]:
        """`vocab_size`; `num_positions`; `added_tokens`, how many of the vocabulary no checkpoint can know; and
        `features`, the number of tags of each.
        """
        num_positions = self.config.max_source + self.config.max_target
        sizes = {"vocab_size": self.tokenizer.vocab_size, "num_positions": num_positions}
        features = {channel.name: len(channel.tags) for channel in self._channels}
        more = {"added_tokens": self.tokenizer.num_added, "features": features}
        return sizes | {name: value for name, value in more.items() if value}

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files into a run folder, and how the training data spell words.

        From now on this task spells outputs so. A loaded run whose training data are gone writes what it has learned.
        """
        self.tokenizer.save(folder)
        if not self._restores or not self.config.train:
            return
        if (folder / SPELLING).exists():
            self._spelling = Spelling.load(folder)
            return
        try:
            spelling = Spelling.learn(self._pairs())
        except InputError:
            if not (Path(str(self.config.tokenizer)) / SPELLING).exists():
                raise
            spelling = self._spelling
        spelling.save(folder)
        self._spelling = spelling

    def _pairs(self) -> Iterator[tuple[str, str]]:
        for records, fields in self._inputs_with_fields("train"):
            for _, _, source, target in pairs_of(records, fields)[1]:
                if isinstance(source, str) and isinstance(target, str):
                    yield source, target
