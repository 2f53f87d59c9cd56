"""Pretraining by pseudo-masked language modeling: autoencoding and partially autoregressive prediction at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field

from s2s.config import Fact
from s2s.data.batch import MaskedBatch
from s2s.data.masking import Blocks, MaskedText, pack_masked
from s2s.data.shards import Shards
from s2s.data.tokenizer import Tokenizer
from s2s.errors import ConfigError
from s2s.registry import register_task
from s2s.tasks.pretraining import MaskedDataset, PretrainingTask


@register_task("pseudo_masked_lm")
class PseudoMaskedLM(PretrainingTask):
    """Text whose masked blocks are predicted from context alone, and again block by block.

    Source: UniLMv2 (arXiv 2002.12804). The rows of its ablation (table 6) by configuration: 2, `model.relative_buckets:
    0`; 3, with 2 `factorization: tokens`; 4, with 2 `objective: autoencoding`; 5, with 2 `objective:
    partially_autoregressive`; 6, with 5 `factorization: tokens`.
    """

    criterion = "pseudo_masked_lm"

    class Config(PretrainingTask.Config):
        """Options of pseudo-masked pretraining; the defaults are the paper's."""

        objective: Literal["both", "autoencoding", "partially_autoregressive"] = "both"
        """What is predicted: masked tokens from the context alone (as in BERT), step by step, or both."""
        factorization: Literal["blocks", "tokens"] = "blocks"
        """What is one step: each masked block, or each masked token by itself, in random order (autoregressive)."""
        block_prob: float = Field(0.4, ge=0, lt=1)
        """Share of the draws that are blocks; the others are single tokens. 0 masks single tokens only."""
        shortest_block: int = Field(2, ge=1)
        """Tokens of the shortest block."""
        longest_block: int = Field(6, ge=1)
        """Tokens of the longest block."""
        pseudo_token: Fact[str | None] = None
        """Token at a place to predict, in quotes: "[PSEUDO]". Default: that of the tokenizer's folder, else the mask
        token. Runs fine-tuned from this one generate with it."""

    config: PseudoMaskedLM.Config

    def __init__(self, config: PseudoMaskedLM.Config) -> None:
        super().__init__(config, config.pseudo_token)
        if config.longest_block < config.shortest_block:
            raise ConfigError(
                f"task.longest_block: must be at least task.shortest_block ({config.shortest_block}), "
                f"found {config.longest_block}"
            )
        self._autoencoding = config.objective != "partially_autoregressive"
        self._autoregressive = config.objective != "autoencoding"

    def dataset(self, split: str, seed: int) -> PseudoMaskedDataset:
        return PseudoMaskedDataset(self.config, self.shards(split), self.tokenizer, self._autoregressive, seed)

    def collate(self, examples: Sequence[MaskedText]) -> MaskedBatch:
        special = self._special
        return pack_masked(examples, special.pseudo, special.pad, self._autoencoding, self._autoregressive)


class PseudoMaskedDataset(MaskedDataset):
    """Masked examples with the step of each masked token."""

    def __init__(
        self, config: PseudoMaskedLM.Config, shards: Shards, tokenizer: Tokenizer, autoregressive: bool, seed: int
    ) -> None:
        blocks = Blocks(config.mask_ratio, config.block_prob, config.shortest_block, config.longest_block)
        super().__init__(config, shards, tokenizer, blocks, seed)
        self._single = config.factorization == "tokens"
        if autoregressive:
            self.lengths = np.stack([shards.lengths, 2 * blocks.most(shards.lengths)], axis=1)
            """Slots of the text, and the most that its true and pseudo tokens can take, `(N, 2)`."""

    def example(self, index: int, epoch: int) -> MaskedText:
        generator = self.generator(index, epoch)
        example = self.masked(index, generator)
        if not self._single:
            return example
        return replace(example, steps=1 + generator.permutation(len(example.steps)))
