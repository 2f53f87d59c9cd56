"""Melodies for lyrics: the notes of each syllable of a line, after the notes of the lines before."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from s2s import hub
from s2s.config import Section
from s2s.data.batch import Feeding
from s2s.data.fields import SOURCE, TARGET
from s2s.data.jsonl import id_field, read_records, text_field
from s2s.data.melody import Note, as_text, check_together, read_notes, syllables_of
from s2s.data.melody_batch import Lyrics, LyricsBatch, LyricsLine, MelodyBatch, MelodyExample
from s2s.data.melody_vocabulary import END, STREAMS, MelodyVocabulary
from s2s.errors import ConfigError, InputError
from s2s.registry import register_task
from s2s.shipped import data_path
from s2s.tasks.base import GenerationTask, Reference

CONTEXT = "context"
"""The field of a record that holds the notes before its line."""


class MelodyDataset:
    """Lines with their notes."""

    def __init__(self, examples: Sequence[MelodyExample]) -> None:
        self._examples = examples
        sizes = [len(one.source.tokens) + len(one.source.context) + len(one.notes) for one in examples]
        self.lengths: NDArray[np.int64] = np.array(sizes, np.int64)

    def __len__(self) -> int:
        return len(self._examples)

    def example(self, index: int, epoch: int) -> MelodyExample:
        """See `s2s.tasks.base.Dataset`."""
        return self._examples[index]


@register_task("melody_from_lyrics")
class MelodyFromLyrics(GenerationTask):
    """Lyrics in syllables to a melody, one line at a time; `s2s.data.melody` says how both are written."""

    model, criterion, decoder = "melody_transformer", "factored_cross_entropy", "sampling"
    has_tokenizer = True

    class Config(Section):
        """Options of the task of melodies from lyrics."""

        train: str | None = None
        """Lines to learn from: JSON lines with src (lyrics), tgt (melody) and context (the notes before)."""
        valid: str | None = None
        """Lines to validate with. Default: no validation."""
        tokenizer: hub.Name = None
        """A run whose letters and lengths are used. Default: those of the training lines."""
        max_syllables: int = Field(48, ge=1, le=1000)
        """Maximum syllables of a line."""
        max_notes: int = Field(96, ge=1, le=10_000)
        """Maximum notes of a line; of those before it, the last of so many are read."""

    config: MelodyFromLyrics.Config

    @classmethod
    def implied(cls, config: MelodyFromLyrics.Config) -> dict[str, dict[str, Any]]:
        return {"decoder": {"max_length": len(STREAMS) * config.max_notes + 1}}

    @property
    def has_validation(self) -> bool:
        return bool(self.config.valid)

    def inputs(self) -> list[Path]:
        return [Path(data_path(path)) for path in (self.config.train, self.config.valid) if path]

    @cached_property
    def vocabulary(self) -> MelodyVocabulary:
        """Letters and lengths, of a run or of the training lines."""
        if self.config.tokenizer is not None:
            return MelodyVocabulary.load(hub.find_run(self.config.tokenizer))
        return MelodyVocabulary.learn((syllables, notes) for _, _, syllables, notes in self.lines("train"))

    def lines(self, split: str) -> Iterator[tuple[str, dict[str, Any], list[str], list[Note]]]:
        """Place, record, syllables and notes of each line of a split; InputError where one is bad."""
        path = {"train": self.config.train, "valid": self.config.valid}[split]
        if not path:
            raise ConfigError(f"task.{split}: must name a file")
        for where, record in read_records(data_path(path)):
            syllables = self._syllables(record, where)
            notes = read_notes(text_field(record, TARGET, where), where)
            check_together(syllables, notes, where)
            if len(notes) > self.config.max_notes:
                raise InputError(f"{where}: has {len(notes)} notes, more than task.max_notes={self.config.max_notes}")
            yield where, record, syllables, notes

    def dataset(self, split: str, seed: int) -> MelodyDataset:
        return MelodyDataset(
            [
                MelodyExample(self.source(record, where), self.vocabulary.values(notes))
                for where, record, _, notes in self.lines(split)
            ]
        )

    def collate(self, examples: Sequence[MelodyExample]) -> MelodyBatch:
        return MelodyBatch.of(examples)

    def source(self, record: dict[str, Any], where: str, id: str = "") -> LyricsLine:
        letters, owners = self.vocabulary.spelled(self._syllables(record, where))
        before = read_notes(record.get(CONTEXT) or "", where, CONTEXT)
        context, name = self.vocabulary.values(before[-self.config.max_notes :]), id_field(record, where)
        return LyricsLine(name or id or where, letters.tolist(), owners, context, len(before) - len(context))

    def _syllables(self, record: dict[str, Any], where: str) -> list[str]:
        syllables = syllables_of(text_field(record, SOURCE, where), where)
        if len(syllables) > self.config.max_syllables:
            raise InputError(
                f"{where}: has {len(syllables)} syllables, more than task.max_syllables={self.config.max_syllables}"
            )
        return syllables

    def references(self, split: str, places: Collection[int]) -> list[Reference]:
        return [
            Reference(self.source(record, where), " ".join(syllables), as_text(notes), "")
            for place, (where, record, syllables, notes) in enumerate(self.lines(split))
            if place in places
        ]

    def collate_sources(self, examples: Sequence[LyricsLine]) -> LyricsBatch:
        lyrics = Lyrics.of(examples)
        return LyricsBatch(
            ids=[example.id for example in examples],
            tokens=lyrics.letters,
            lengths=(lyrics.letters > 0).sum(1),
            feeding=Feeding(end=END, start=END),
            prefixes=[example.prefix for example in examples],
            lyrics=lyrics,
        )

    def text(self, tokens: Sequence[int]) -> str:
        return as_text(self.vocabulary.notes(tokens))

    def token_id(self, token: str) -> int:
        raise InputError(f"{token!r}: cannot be named, notes have no tokens of their own")

    def model_defaults(self) -> dict[str, Any]:
        """Sizes of the vocabulary and of the longest line."""
        return {
            "vocab_size": len(self.vocabulary),
            "stream_sizes": self.vocabulary.sizes,
            "num_letters": self.vocabulary.num_letters,
            "max_syllables": self.config.max_syllables,
            "max_notes": self.config.max_notes,
        }

    def save(self, folder: Path) -> None:
        self.vocabulary.save(folder)
