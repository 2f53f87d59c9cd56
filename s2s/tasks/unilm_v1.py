"""Pretraining by the mixture of UniLM v1: cloze in both directions, in one, and as sequence to sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from s2s.data.batch import TokenBatch
from s2s.data.masking import Blocks, MaskedText
from s2s.data.mixture import NUM_SEGMENTS, Objective, pack_mixture
from s2s.data.shards import Shards
from s2s.data.tokenizer import Tokenizer
from s2s.registry import register_task
from s2s.tasks.pretraining import MaskedDataset, PretrainingTask

OBJECTIVES: tuple[Objective, ...] = ("bidirectional", "seq2seq", "left_to_right", "right_to_left")


class MixtureExample(NamedTuple):
    """A masked text, and a number from 0 to 1 that chooses the objective of a batch which begins with it."""

    text: MaskedText
    draw: float


@register_task("unilm_v1")
class UniLMv1(PretrainingTask):
    """Text whose masked tokens are predicted in place, each batch under one of four objectives.

    The model needs a segment table of six rows, or none; fine-tune with `model.source_segment=4` and
    `model.target_segment=5`. By default labels are not smoothed.

    Source: UniLM (arXiv 1905.03197), without its next-sentence prediction.
    """

    criterion = "cross_entropy"

    class Config(PretrainingTask.Config):
        """Options of the mixture; the defaults are the paper's."""

        bidirectional: float = Field(1 / 3, ge=0)
        """Share of the batches in which every token sees every other one."""
        seq2seq: float = Field(1 / 3, ge=0)
        """Share in which the second segment sees the first and is read from left to right."""
        left_to_right: float = Field(1 / 6, ge=0)
        """Share read from left to right."""
        right_to_left: float = Field(1 / 6, ge=0)
        """Share read from right to left."""
        block_prob: float = Field(0.2, ge=0, lt=1)
        """Share of the draws that mask two or three tokens together; the others mask one."""

        @model_validator(mode="after")
        def _check(self) -> UniLMv1.Config:
            if not any(getattr(self, name) for name in OBJECTIVES):
                raise ValueError(f"one of {', '.join(OBJECTIVES)} must be more than 0")
            return self

    config: UniLMv1.Config

    def __init__(self, config: UniLMv1.Config) -> None:
        super().__init__(config)
        shares = np.array([getattr(config, name) for name in OBJECTIVES])
        self._bounds = np.cumsum(shares / shares.sum())

    @classmethod
    def implied(cls, config: UniLMv1.Config) -> dict[str, dict[str, Any]]:
        return {"criterion": {"label_smoothing": 0.0}}

    def dataset(self, split: str, seed: int) -> MixtureDataset:
        return MixtureDataset(self.config, self.shards(split), self.tokenizer, seed)

    def collate(self, examples: Sequence[MixtureExample]) -> TokenBatch:
        """A batch under the objective that its first example draws."""
        chosen = int(np.searchsorted(self._bounds[:-1], examples[0].draw, side="right"))
        return pack_mixture([example.text for example in examples], OBJECTIVES[chosen], self._special.pad)

    def model_defaults(self) -> dict[str, int]:
        """As for all tasks of pretraining, and `num_segments`, the rows of the segment table that are used."""
        return {**super().model_defaults(), "num_segments": NUM_SEGMENTS}


class MixtureDataset(MaskedDataset):
    """Masked examples, each with a draw of the objective."""

    def __init__(self, config: UniLMv1.Config, shards: Shards, tokenizer: Tokenizer, seed: int) -> None:
        blocks = Blocks(config.mask_ratio, config.block_prob, shortest=2, longest=3)
        super().__init__(config, shards, tokenizer, blocks, seed)

    def example(self, index: int, epoch: int) -> MixtureExample:
        generator = self.generator(index, epoch)
        return MixtureExample(self.masked(index, generator), float(generator.random()))
