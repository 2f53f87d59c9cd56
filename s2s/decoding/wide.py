"""Beam search as fairseq and transformers have it: what ends leaves the beam, and the beam stays full."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from s2s.decoding.base import Hypothesis, TokenIds, no_tokens
from s2s.decoding.beam import BeamSearch, propose, take_best
from s2s.decoding.constraints import BatchConstraints
from s2s.decoding.searching import Beam
from s2s.decoding.trace import Trace
from s2s.registry import register_decoder


@register_decoder("wide_beam")
class WideBeamSearch(BeamSearch):
    """Beam search by the rule of fairseq and transformers: of 2 K continuations, K that have not ended continue.

    A continuation that ends counts if it is among the K best. At the greatest length the K best count, ended or not
    (fairseq would end them there). A frame is [K that continue | those of the K best that ended].
    Source: transformers 5, `GenerationMixin._beam_search`.
    """

    class Config(BeamSearch.Config):
        """Options of wide beam search."""

        stop: Literal["certain", "likely", "full"] = "certain"
        """A sentence is complete when K have ended that no open one can pass (transformers' early_stopping "never"), or
        none passes at its present length (False, its default), or as soon as K have ended (True, and fairseq)."""

    config: WideBeamSearch.Config

    def __init__(self, config: WideBeamSearch.Config, token_id: TokenIds = no_tokens) -> None:
        super().__init__(config, token_id)
        self.frame_size, self.wanted = 2 * config.beam_size, config.beam_size

    def best(self, trace: Trace) -> list[list[Hypothesis]]:
        """The hypotheses that the configured ranking chooses from a trace; those still open at its end do not count."""
        count, most = self.config.num_hypotheses, self.config.max_length
        rows = trace.best(self._ranking, count + self.config.beam_size)
        return [[item for item in row if item.finished or len(item.tokens) == most][:count] for row in rows]

    def survivors(
        self, beam: Beam, logits: Tensor, constraints: BatchConstraints, end: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The next frame, `(B', 2 K)`; see `BeamSearch.survivors`."""
        size = self.config.beam_size
        proposals, ids = propose(beam, self.log_probs(beam, logits), constraints, end, 2 * size)
        scores, parents, tokens = take_best(proposals, ids, 2 * size)
        ended = tokens == end
        left_out = ended.clone()
        left_out[:, size:] |= (beam.ages + 1 == self.config.max_length).unsqueeze(1)
        going_on, index = scores.masked_fill(left_out, -torch.inf).topk(size, 1)
        finishing = scores[:, :size].masked_fill(~ended[:, :size], -torch.inf)
        parents, tokens = (torch.cat([x.gather(1, index), x[:, :size]], 1) for x in (parents, tokens))
        return torch.cat([going_on, finishing], 1), parents, tokens

    def _is_decided(self, finished: Tensor, scores: Tensor, lengths: Tensor) -> Tensor:
        full = finished[:, -1] > -torch.inf
        if self.config.stop == "certain":
            return full & super()._is_decided(finished, scores, lengths)
        if self.config.stop == "likely":
            return full & (finished[:, -1] >= self._ranking(scores, lengths).amax(1))
        return full
