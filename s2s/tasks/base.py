"""The interface of a task: data in, batches out, outputs back to records."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from s2s.config import Section
from s2s.data.batch import Batch, SourceBatch
from s2s.data.tokenizer import Tokenizer
from s2s.errors import ConfigError


class Dataset(Protocol):
    """Examples of one split, by index; the sampler decides their order."""

    lengths: NDArray[np.int64]
    """Slots that each example takes in a batch, `(N,)`, or those of its separately padded blocks, `(N, blocks)`."""

    def __len__(self) -> int: ...

    def example(self, index: int, epoch: int) -> Any:
        """One example; its random noise depends on the seed, the epoch and the index alone."""


class Task(ABC):
    """One problem: reads records, makes examples and batches, writes outputs. Knows the tokenizer, not the model."""

    model: ClassVar[str | None] = None
    criterion: ClassVar[str | None] = None
    decoder: ClassVar[str | None] = None
    """Names of the defaults of these sections; None requires a name. A task without a decoder generates nothing."""
    has_tokenizer: ClassVar[bool] = False
    """Whether `Config` has the option `tokenizer`, and `save` writes that tokenizer into a run folder."""
    tokenizer: Tokenizer

    class Config(Section):
        """Options of a task."""

    config: Section

    def __init__(self, config: Section) -> None:
        self.config = config

    @classmethod
    def implied(cls, config: Any) -> dict[str, dict[str, Any]]:
        """Defaults in other sections that follow from the task's options, as `{"decoder": {"max_length": 48}}`.

        `name` is among them if it is not the one that the class declares; options that a section lacks are ignored.
        """
        return {}

    @property
    def has_validation(self) -> bool:
        """Whether there is a split "valid"."""
        return True

    def inputs(self) -> list[Path]:
        """Files and folders that hold the examples; their content must not change during a run."""
        return []

    @abstractmethod
    def dataset(self, split: str, seed: int) -> Dataset:
        """The examples of `split` ("train" or "valid"); InputError if a file is missing or a record is bad."""

    @abstractmethod
    def collate(self, examples: Sequence[Any]) -> Batch:
        """A batch of examples."""

    @abstractmethod
    def model_defaults(self) -> dict[str, Any]:
        """Options of the model that the data fix, such as `vocab_size`; see `s2s.models.base.Model.resolve`."""

    def token_counts(self) -> NDArray[np.int64]:
        """How often each token is a label in the training data or a fair sample of them, `(V,)`."""
        raise ConfigError("model.frequency_bias: needs a task of pretraining, which knows how often each token occurs")

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what decoding needs, such as the tokenizer's files, into a run folder."""


@dataclass(frozen=True)
class Reference:
    """A record to generate from, and what it should give.

    Args:
        example: As `GenerationTask.source` gives it.
        source: Its text, to be read.
        target: The text that it should give.
        spelled_by: As `GenerationTask.source_text` gives it.
    """

    example: Any
    source: str
    target: str
    spelled_by: str


class GenerationTask(Task):
    """A task that generates texts from sources, the records of a file."""

    @property
    def id_field(self) -> str:
        """The field of a record that holds its id."""
        return "id"

    def record(self, text: str) -> dict[str, Any]:
        """A record whose source is this text."""
        return {"src": text}

    @abstractmethod
    def source(self, record: dict[str, Any], where: str, id: str = "") -> Any:
        """The example of one input record; InputError, with its place `where`, if it has no usable source.

        `id` is for a record that has none. A sampled output depends on the id of its source.
        """

    def references(self, split: str, places: Collection[int]) -> list[Reference]:
        """The examples of `split` at some places, counted from 0 as in `dataset`, each with its target."""
        raise ConfigError("train.keep_best_by: must be loss, this task cannot read its references")

    @abstractmethod
    def collate_sources(self, examples: Sequence[Any]) -> SourceBatch:
        """A batch of sources."""

    @abstractmethod
    def text(self, tokens: Sequence[int]) -> str:
        """The text of generated tokens (without the end token)."""

    def source_text(self, record: dict[str, Any]) -> str:
        """The text of an input record whose spelling or words its output takes; none by default."""
        return ""

    def spell(self, text: str, source: str) -> str:
        """An output with its words spelled as in the text of its source; unchanged by default."""
        return text

    def output(self, tokens: Sequence[int], source: str) -> str:
        """The text of generated tokens, spelled as in `source_text`; tokens beyond the vocabulary are words of it."""
        return self.spell(self.text(tokens), source)

    @abstractmethod
    def token_id(self, token: str) -> int:
        """The id of one vocabulary item; InputError if the vocabulary lacks it."""
