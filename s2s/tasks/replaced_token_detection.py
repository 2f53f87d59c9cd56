"""Pretraining by detection of replaced tokens: the masks of a text are filled, and what was filled in is found."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from s2s.data.batch import MaskedBatch
from s2s.data.masking import Blocks, MaskedText, pack_masked
from s2s.registry import register_task
from s2s.tasks.pretraining import MaskedDataset, PretrainingTask


@register_task("replaced_token_detection")
class ReplacedTokenDetection(PretrainingTask):
    """Text with masked tokens, which a generator fills and a discriminator reads.

    A model that is no `electra` learns to predict the masked tokens from it. Source: ELECTRA (arXiv 2003.10555).
    """

    model = "electra"
    criterion = "replaced_token_detection"

    class Config(PretrainingTask.Config):
        """Options of replaced token detection; the defaults are those of ELECTRA's code."""

        random_prob: float = Field(0.0, ge=0, le=1)
        """A masked token becomes a random one (never a special one) with this probability, for the generator."""
        keep_prob: float = Field(0.15, ge=0, le=1)
        """A masked token stays what it is with this probability, for the generator."""
        block_prob: float = Field(0.0, ge=0, lt=1)
        """Share of the draws that mask two to six tokens together; the others mask one."""

    config: ReplacedTokenDetection.Config

    def dataset(self, split: str, seed: int) -> TextDataset:
        config = self.config
        blocks = Blocks(config.mask_ratio, config.block_prob, shortest=2, longest=6)
        return TextDataset(config, self.shards(split), self.tokenizer, blocks, seed)

    def collate(self, examples: Sequence[MaskedText]) -> MaskedBatch:
        return pack_masked(examples, self._special.mask, self._special.pad, autoregressive=False)


class TextDataset(MaskedDataset):
    """Masked examples alone."""

    def example(self, index: int, epoch: int) -> MaskedText:
        return self.masked(index, self.generator(index, epoch))
