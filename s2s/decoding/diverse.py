"""Diverse (group) beam search: groups of hypotheses that avoid one another's tokens, step by step."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field, model_validator
from torch import Tensor

from s2s.decoding.beam import BeamSearch, propose, take_best
from s2s.decoding.constraints import BatchConstraints
from s2s.decoding.searching import Beam
from s2s.registry import register_decoder


@register_decoder("diverse_beam")
class DiverseBeamSearch(BeamSearch):
    """Beam search in groups; each avoids tokens that the groups before it chose at the same step.

    The penalty decides who survives a step; hypotheses are ranked by their log-probabilities without it.
    Source: Vijayakumar et al. 2016 (arXiv 1610.02424), with Hamming diversity.
    """

    class Config(BeamSearch.Config):
        """Options of diverse beam search."""

        num_groups: int = Field(5, ge=1)
        """Groups of equal size that beam_size is divided into. Where two groups find the same output, it comes once."""
        diversity_penalty: float = Field(0.5, gt=0, le=1e4)
        """What a token loses for each hypothesis of an earlier group that chose it; 0.2 to 0.8 in the paper."""

        @model_validator(mode="after")
        def _groups_are_equal(self) -> Any:
            if self.beam_size % self.num_groups:
                raise ValueError(f"num_groups {self.num_groups} must divide beam_size {self.beam_size}")
            return self

    config: DiverseBeamSearch.Config

    def survivors(
        self, beam: Beam, logits: Tensor, constraints: BatchConstraints, end: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The next frame, group by group; see `BeamSearch.survivors`."""
        size = self.config.beam_size // self.config.num_groups
        at_root = beam.scores.shape[1] == 1
        log_probs = self.log_probs(beam, logits)
        penalty = torch.zeros_like(log_probs[:, 0])  # (B', V)
        frames = []
        for first in range(0, self.config.beam_size, size):
            start = 0 if at_root else first
            group = slice(start, start + size)
            penalized = log_probs[:, group] - penalty.unsqueeze(1)
            proposals = propose(beam.part(group), penalized, constraints, end, size)
            scores, parents, tokens = take_best(*proposals, size)
            frames.append((scores + penalty.gather(1, tokens), parents + start, tokens))
            chosen = scores.isfinite().float() * self.config.diversity_penalty
            penalty = penalty.scatter_add(1, tokens, chosen)
        scores, parents, tokens = (torch.cat(parts, 1) for parts in zip(*frames, strict=True))
        return scores, parents, tokens
