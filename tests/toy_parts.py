"""A task, model, criterion and decoder of toy size, for tests of the trainer; `imports: [toy_parts]` registers them.

The model predicts the next of a few tokens, with dropout, tied embeddings and two blocks; sequences differ in length.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from s2s.config import Section
from s2s.criteria.base import Criterion
from s2s.decoding.base import Hypothesis, Search
from s2s.models.base import Model
from s2s.registry import register_criterion, register_decoder, register_model, register_task
from s2s.tasks.base import Task

VOCABULARY, WIDTH = 11, 8


@dataclass(frozen=True)
class ToyBatch:
    """`tokens` is `(B, T)`, padded with 0."""

    ids: list[str]
    tokens: Tensor
    poisoned: bool

    @property
    def num_tokens(self) -> int:
        return int((self.tokens != 0).sum())

    def to(self, device: torch.device) -> ToyBatch:
        return replace(self, tokens=self.tokens.to(device))


class ToyDataset:
    def __init__(self, size: int, seed: int, poison: int | None) -> None:
        self._seed, self._poison = seed, poison
        self.lengths = [3 + (index * 5) % 7 for index in range(size)]

    def __len__(self) -> int:
        return len(self.lengths)

    def example(self, index: int, epoch: int) -> tuple[str, list[int], bool]:
        generator = np.random.default_rng([self._seed, epoch, index])
        start, noise = int(generator.integers(1, VOCABULARY)), int(generator.integers(0, 2))
        tokens = [1 + (start + noise + step) % (VOCABULARY - 1) for step in range(self.lengths[index])]
        return f"record-{index}", tokens, index == self._poison


@register_task("toy")
class ToyTask(Task):
    model, criterion, decoder = "toy", "toy", "toy"

    class Config(Section):
        train: int = 22
        """Examples."""
        valid: int = 6
        poison: int | None = None
        """A training example whose loss is not a number."""

    config: Config

    def dataset(self, split: str, seed: int) -> ToyDataset:
        if split == "train":
            return ToyDataset(self.config.train, seed, self.config.poison)
        return ToyDataset(self.config.valid, seed + 1, None)

    @property
    def has_validation(self) -> bool:
        return self.config.valid > 0

    def collate(self, examples: Sequence[Any]) -> ToyBatch:
        rows = [torch.tensor(tokens) for _, tokens, _ in examples]
        padded = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return ToyBatch([id for id, _, _ in examples], padded, any(bad for _, _, bad in examples))

    def model_defaults(self) -> dict[str, int]:
        return {"vocab_size": VOCABULARY}

    def save(self, folder: Path) -> None:
        (folder / "vocabulary.txt").write_text(str(VOCABULARY))


@register_model("toy")
class ToyModel(Model):
    class Config(Section):
        dropout: float = 0.1
        vocab_size: int | None = None
        delay: float = 0.0
        """Seconds that a forward pass waits, so that a signal can meet it."""

    @classmethod
    def resolve(cls, config: Any, defaults: dict[str, int]) -> Any:
        return config.model_copy(update=defaults)

    def __init__(self, config: ToyModel.Config) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size or 1, WIDTH)
        self.head = nn.Linear(WIDTH, config.vocab_size or 1)
        self.head.weight = self.embedding.weight
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH, 12), nn.GELU(), nn.Linear(12, WIDTH), nn.LayerNorm(WIDTH)) for _ in range(2)
        )
        self.dropout = nn.Dropout(config.dropout)

    def features(self, batch: ToyBatch) -> Tensor:
        time.sleep(self.config.delay)
        hidden = self.dropout(self.embedding(batch.tokens[:, :-1]))
        for layer in self.layers:
            hidden = hidden + self.dropout(layer(hidden))
        return hidden[batch.tokens[:, 1:] != 0]

    def forward(self, batch: ToyBatch) -> Tensor:
        scores: Tensor = self.head(self.features(batch))
        return scores

    def blocks(self) -> list[nn.Module]:
        return list(self.layers)


@register_criterion("toy")
class ToyCriterion(Criterion):
    class Config(Section):
        pass

    def weights(self, batch: ToyBatch) -> dict[str, float]:
        return {"loss": float((batch.tokens[:, 1:] != 0).sum())}

    def forward(self, model: nn.Module, batch: ToyBatch, phase: str = "model") -> dict[str, Tensor]:
        targets = batch.tokens[:, 1:]
        loss = cross_entropy(model(batch).float(), targets[targets != 0], reduction="sum")
        return {"loss": loss * math.nan if batch.poisoned else loss}


@register_criterion("toy_two_phases")
class ToyTwoPhases(ToyCriterion):
    """First moves a number of its own towards 5, then trains the model."""

    losses = ("bias_loss", "loss")
    phases = ("bias", "model")

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.bias = nn.Parameter(torch.zeros(()))

    def weights(self, batch: ToyBatch) -> dict[str, float]:
        return {**super().weights(batch), "bias_loss": float(len(batch.ids))}

    def forward(self, model: nn.Module, batch: ToyBatch, phase: str = "model") -> dict[str, Tensor]:
        if phase == "bias":
            return {"bias_loss": len(batch.ids) * (self.bias - 5) ** 2}
        return super().forward(model, batch)

    def parameters_of(self, phase: str, model: nn.Module) -> Iterable[nn.Parameter]:
        return [self.bias] if phase == "bias" else model.parameters()


@register_decoder("toy")
class ToyDecoder(Search):
    class Config(Section):
        width: int = 1

    def __call__(self, model: Any, sources: Any) -> list[list[Hypothesis]]:
        return []


def tree(**changes: Any) -> dict[str, Any]:
    """A configuration of the toy; a keyword argument `train={...}` replaces options of that section."""
    base: dict[str, Any] = {
        "imports": ["toy_parts"],
        "seed": 3,
        "task": {"name": "toy"},
        "model": {"name": "toy"},
        "criterion": {"name": "toy"},
        "decoder": {"name": "toy"},
        "optim": {"lr": 0.01, "warmup_steps": 3},
        "train": {"max_steps": 20, "max_tokens": 40, "log_every": 1, "workers": 0, "device": "cpu"},
    }
    return {key: {**value, **changes.get(key, {})} if isinstance(value, dict) else value for key, value in base.items()}
