"""Beam search as BEiT-3 has it for captions."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from s2s.decoding.base import TokenIds, no_tokens
from s2s.decoding.beam import propose, take_best
from s2s.decoding.constraints import BatchConstraints
from s2s.decoding.searching import Beam
from s2s.decoding.wide import WideBeamSearch
from s2s.registry import register_decoder

_MORE_COUNTED = 1
"""Tokens that count in a length besides those generated and the end: BEiT-3 counts [CLS] and a mask, but no end."""


@register_decoder("caption_beam")
class CaptionBeamSearch(WideBeamSearch):
    """Beam search by the rule of BEiT-3: as `wide_beam`, but it ends more hypotheses, and all at the greatest length.

    A continuation that ends counts if fewer than K that go on are better. At the greatest length the last word is left
    out of the text but not of the sum. The sum is divided by a power of the number of words and 2.
    Source: `microsoft/unilm: beit3/engine_for_finetuning.py`, `CaptioningHandler`; its 3 K continuations and 2 K give
    the same, since each hypothesis ends once at most. It leaves a mask after the words, which is no part of ours, and
    allows texts without words, as `min_length: 0` does.
    """

    class Config(WideBeamSearch.Config):
        """Options of the search for captions."""

        beam_size: int = Field(3, ge=1, le=1000)
        """Hypotheses kept at each step; 1 is greedy search."""
        length_penalty: float = Field(0.6, ge=0, le=20)
        """Exponent of the length by which log-probabilities are divided: above 0 favors long outputs, 0 is off."""
        length_penalty_form: Literal["gnmt", "power"] = "power"
        """What the exponent applies to: (5 + length) / 6 (GNMT, s2s-ft), or the length (BEiT-3)."""

    config: CaptionBeamSearch.Config

    def __init__(self, config: CaptionBeamSearch.Config, token_id: TokenIds = no_tokens) -> None:
        super().__init__(config, token_id)
        by_length = self._ranking
        self._ranking = lambda log_probs, lengths: by_length(log_probs, lengths + _MORE_COUNTED)

    def survivors(
        self, beam: Beam, logits: Tensor, constraints: BatchConstraints, end: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The next frame, `(B', 2 K)`; see `BeamSearch.survivors`."""
        size = self.config.beam_size
        proposals, ids = propose(beam, self.log_probs(beam, logits), constraints, end, 2 * size)
        scores, parents, tokens = take_best(proposals, ids, 2 * size)
        is_last = (beam.ages + 1 == self.config.max_length).unsqueeze(1)
        tokens = tokens.masked_fill(is_last, end)
        ended = tokens == end
        counts = ended & ((~ended).cumsum(1) < size)
        best = [scores.masked_fill(~chosen, -torch.inf).topk(size, 1) for chosen in (~ended, counts)]
        index = torch.cat([found.indices for found in best], 1)
        return torch.cat([found.values for found in best], 1), parents.gather(1, index), tokens.gather(1, index)
