"""What the tasks of pretraining share: a folder of tokenized text, its tokenizer, and which tokens are masked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from s2s import hub
from s2s.config import Section
from s2s.data.masking import Blocks, MaskedText, corrupt
from s2s.data.shards import Shards, shard_paths
from s2s.data.tokenizer import Tokenizer
from s2s.errors import ConfigError, InputError
from s2s.tasks.base import Task

_COUNTED = 100_000
"""Texts in which tokens are counted: far more than frequencies need, few of a large corpus."""


class MaskedDataset:
    """Masked examples of a corpus; the masking of one depends on (seed, epoch, index) alone."""

    def __init__(
        self, config: PretrainingTask.Config, shards: Shards, tokenizer: Tokenizer, blocks: Blocks, seed: int
    ) -> None:
        self._shards = shards
        self._blocks = blocks
        self._mask = tokenizer.special.mask
        self._probabilities = config.random_prob, config.keep_prob
        self._seed = seed
        self._fixed = np.zeros(tokenizer.vocab_size, bool)
        self._fixed[tokenizer.special_ids] = True
        self._structure = np.array([*vars(tokenizer.special).values()])
        self._replacements = np.flatnonzero(~self._fixed)
        self.lengths: NDArray[np.int64] = shards.lengths
        """Slots of the text, `(N,)`; with those of blocks that a task adds, `(N, blocks)`."""

    def __len__(self) -> int:
        return len(self._shards)

    def generator(self, index: int, epoch: int) -> np.random.Generator:
        """The source of all randomness in one example."""
        return np.random.default_rng([self._seed, epoch, index])

    def masked(self, index: int, generator: np.random.Generator) -> MaskedText:
        """One example; special tokens are never masked, except the unknown token if there is nothing else."""
        row = self._shards[index]
        fixed = self._fixed[row.ids]
        if fixed.all():
            fixed = np.isin(row.ids, self._structure)
        positions, steps = self._blocks.draw(fixed, generator)
        labels = row.ids[positions]
        tokens = row.ids.copy()
        tokens[positions] = corrupt(labels, self._mask, *self._probabilities, self._replacements, generator)
        segments = (np.arange(len(tokens)) >= row.split).astype(np.int64)
        return MaskedText(tokens, segments, positions, steps, labels, self._shards.id(index))


class PretrainingTask(Task):
    """Masked text of a corpus folder that `unilatent prepare pretrain-text` wrote."""

    model = "unilm"
    has_tokenizer = True

    class Config(Section):
        """Options that all tasks of pretraining have."""

        data: str
        """Folder of the corpus, as `unilatent prepare pretrain-text` wrote it."""
        tokenizer: hub.Name = None
        """Folder or hub id of the corpus' tokenizer. Default: that of the model, else the one in the corpus folder."""
        valid: bool = True
        """Validate on the corpus' validation split."""
        added_tokens: tuple[str, ...] = ()
        """Tokens that the vocabulary grows by, such as a pseudo token that it lacks."""
        mask_ratio: float = Field(0.15, gt=0, lt=1)
        """Share of the tokens that is masked."""
        random_prob: float = Field(0.1, ge=0, le=1)
        """A masked token becomes a random one (never a special one) with this probability."""
        keep_prob: float = Field(0.1, ge=0, le=1)
        """A masked token stays what it is with this probability."""

    config: PretrainingTask.Config

    def __init__(self, config: PretrainingTask.Config, pseudo_token: str | None = None) -> None:
        super().__init__(config)
        if config.keep_prob + config.random_prob > 1:
            raise ConfigError("task.keep_prob and task.random_prob together must be at most 1")
        own = Path(config.data) / "tokenizer"
        if config.tokenizer is None and not own.is_dir():
            raise InputError(f"task.data: must be a folder of `unilatent prepare pretrain-text`, found no folder {own}")
        self.tokenizer = Tokenizer.load(config.tokenizer or own, None, config.added_tokens, pseudo_token)
        self._special = self.tokenizer.special
        self._splits: dict[str, Shards] = {}

    @property
    def has_validation(self) -> bool:
        return self.config.valid

    def inputs(self) -> list[Path]:
        splits = ("train", "valid") if self.has_validation else ("train",)
        return [path for split in splits for path in shard_paths(Path(self.config.data), split)]

    def shards(self, split: str) -> Shards:
        """The examples of `split`, read once; InputError if they are missing, damaged or of another tokenizer."""
        if split not in self._splits:
            self._splits[split] = Shards.read(self.config.data, split, self.tokenizer)
        return self._splits[split]

    def model_defaults(self) -> dict[str, int]:
        """`vocab_size`; `num_positions`; and `added_tokens`, how many of the vocabulary no checkpoint can know."""
        sizes = {"vocab_size": self.tokenizer.vocab_size, "num_positions": self.shards("train").max_length}
        return sizes | ({"added_tokens": self.tokenizer.num_added} if self.tokenizer.num_added else {})

    def token_counts(self) -> NDArray[np.int64]:
        """See `Task.token_counts`: from the first texts, which lie in random order; special tokens are no labels."""
        shards = self.shards("train")
        counts = np.zeros(self.tokenizer.vocab_size, np.int64)
        for index in range(min(len(shards), _COUNTED)):
            np.add.at(counts, shards[index].ids, 1)
        counts[self.tokenizer.special_ids] = 0
        return counts

    def save(self, folder: Path) -> None:
        self.tokenizer.save(folder)
