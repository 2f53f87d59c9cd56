"""Stochastic beam search: different outputs, drawn from the model's distribution without replacement.

Each hypothesis has a key, its log-probability plus Gumbel noise, and the K greatest keys survive a step. The noise of
the continuations of a hypothesis is drawn such that their greatest key is that of the hypothesis, so the survivors are
the K that would be greatest if every output had its own noise: a sample without replacement.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor

from s2s.data.batch import SourceBatch
from s2s.decoding.base import Hypothesis, StepModel
from s2s.decoding.constraints import BatchConstraints, Written
from s2s.decoding.cuts import DrawConfig, candidates
from s2s.decoding.sampling import generator_of, outputs_of, weighed
from s2s.decoding.search_config import TextSearch, start
from s2s.decoding.searching import worth_leaving
from s2s.registry import register_decoder


@dataclass
class Drawn(Written):
    """The hypotheses of B' sentences, K of each.

    Args:
        log_probs: Of the model, `(B', K)`.
        shares: Log-probabilities of the distribution that is drawn from, `(B', K)`.
        keys: `shares` with noise, `(B', K)`; -inf where there is no hypothesis.
    """

    log_probs: Tensor
    shares: Tensor
    keys: Tensor

    def select(self, rows: Tensor) -> Drawn:
        """The sentences at some rows."""
        tables = (self.sentences, self.tokens, self.ages, self.log_probs, self.shares, self.keys)
        sentences, tokens, ages, *sums = (table[rows] for table in tables)
        return Drawn(sentences, tokens, ages, self.youngest, *sums)


@register_decoder("stochastic_beam")
class StochasticBeamSearch(TextSearch):
    """Draws different outputs, as many as asked for, from the distribution that `sampling` draws from.

    Outputs of a sentence come best first by log-probability, as in `sampling`; there are fewer only if the cuts leave
    fewer. Source: Kool et al. 2019 (arXiv 1903.06059), algorithm 1.
    """

    class Config(DrawConfig):
        """Options of stochastic beam search."""

        num_hypotheses: int = Field(5, ge=1, le=1000)
        """Outputs drawn for each sentence, all different."""

    config: StochasticBeamSearch.Config

    @torch.inference_mode()
    def __call__(self, model: StepModel, sources: SourceBatch) -> list[list[Hypothesis]]:
        """Different outputs of each sentence, the most likely first."""
        size, steps, end, device = len(sources.ids), self.config.max_length, sources.feeding.end, sources.tokens.device
        constraints = self._constraints.of(sources)
        generators = [generator_of(self.config.seed, id) for id in sources.ids]
        found: list[list[Hypothesis]] = [[] for _ in range(size)]
        live, sums = torch.arange(size, device=device), torch.zeros(size, 1, device=device)
        drawn = Drawn(live, sums.long()[..., None][..., :0], torch.zeros_like(live), 0, sums, sums, sums)
        state = start(model, sources, steps, self.config)
        last: Tensor | None = None
        for step in range(steps):
            logits = model.step(state, last)
            noise = gumbel([generators[number] for number in drawn.sentences.tolist()], logits)
            drawn, parents = self._step(drawn, logits, noise, constraints, end)
            last = drawn.tokens[..., -1]
            over = (last == end).all(1) | (step == steps - 1)
            for row in over.nonzero().flatten().tolist():
                found[int(drawn.sentences[row])] = _hypotheses(drawn, row, end)
            keep = (~over).nonzero().flatten()
            if not len(keep):
                break
            rows = keep if worth_leaving(keep, drawn.sentences) else None
            if rows is not None:
                drawn, parents, last = drawn.select(rows), parents[rows], last[rows]
            state.select(rows, parents)
        return found

    def _step(
        self, drawn: Drawn, logits: Tensor, noise: Tensor, constraints: BatchConstraints, end: int
    ) -> tuple[Drawn, Tensor]:
        """The hypotheses after one more token, and the ones that they continue, `(B', K)`."""
        ended = (
            drawn.tokens[..., -1] == end if drawn.youngest else torch.zeros_like(drawn.keys, dtype=torch.bool)
        )  # (B', K)
        log_probs = logits.log_softmax(-1, dtype=torch.float32).masked_fill(ended.unsqueeze(-1), 0)
        shares = self._shares(drawn, logits, log_probs, constraints, ended, end) + drawn.shares.unsqueeze(-1)
        keys = conditioned(shares + noise, drawn.keys.unsqueeze(-1)).flatten(1)
        keys, index = keys.topk(min(self.config.num_hypotheses, keys.shape[1]), 1)
        parents, tokens = index // logits.shape[-1], index % logits.shape[-1]
        history = drawn.tokens.gather(1, parents.unsqueeze(-1).expand(-1, -1, drawn.tokens.shape[2]))
        sums = (drawn.log_probs.unsqueeze(-1) + log_probs).flatten(1).gather(1, index)
        tokens = torch.cat([history, tokens.unsqueeze(-1)], -1)
        ages, youngest = drawn.ages + 1, drawn.youngest + 1
        return Drawn(drawn.sentences, tokens, ages, youngest, sums, shares.flatten(1).gather(1, index), keys), parents

    def _shares(
        self, drawn: Drawn, logits: Tensor, log_probs: Tensor, constraints: BatchConstraints, ended: Tensor, end: int
    ) -> Tensor:
        """Log-probabilities to draw by, `(B', K, V)`; what has ended, or has no other choice, ends."""
        scores = constraints(drawn, weighed(logits, log_probs, drawn.tokens, self.config))
        probs, ids, stuck = candidates(scores, self.config)
        if ids is not None:
            probs = torch.zeros_like(log_probs).scatter(-1, ids, probs)
        shares = (probs / probs.sum(-1, keepdim=True)).log()
        only_end = torch.full_like(shares[:1, :1], -torch.inf)
        only_end[..., end] = 0
        return torch.where(stuck | ended.unsqueeze(-1), only_end, shares)


def gumbel(generators: list[torch.Generator], like: Tensor) -> Tensor:
    """Standard Gumbel noise of the shape of a tensor `(B', K, V)`; each sentence has its own generator."""
    uniform = torch.stack([torch.rand(like.shape[1:], generator=one) for one in generators])
    return -(-uniform.to(like.device).log()).log()


def conditioned(keys: Tensor, greatest: Tensor) -> Tensor:
    """Keys `(B', K, V)` of the continuations of hypotheses, given that the greatest of each is `(B', K, 1)`.

    Source: Kool et al. 2019, appendix B.3.
    """
    gap = keys - keys.amax(-1, keepdim=True)
    below = torch.where(gap > -0.7, (-gap.expm1()).log(), (-gap.exp()).log1p())  # log(1 - exp(gap))
    excess = greatest - keys + below
    moved = greatest - excess.clamp(min=0) - (-excess.abs()).exp().log1p()
    return torch.where(keys == -torch.inf, keys, moved)


def _hypotheses(drawn: Drawn, row: int, end: int) -> list[Hypothesis]:
    exists = drawn.keys[row] > -torch.inf
    return outputs_of(drawn.tokens[row, exists].tolist(), drawn.log_probs[row, exists].tolist(), end)
