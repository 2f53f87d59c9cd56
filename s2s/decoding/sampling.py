"""Sampling: outputs drawn from the model's distribution, the same for a sentence whatever else is in its batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

from s2s.data.batch import SourceBatch
from s2s.decoding.base import Hypothesis, StepModel
from s2s.decoding.constraints import Written
from s2s.decoding.cuts import DrawConfig, candidates
from s2s.decoding.repetition import penalize_repeated
from s2s.decoding.search_config import TextSearch, start
from s2s.decoding.searching import worth_leaving
from s2s.nn.precision import widened
from s2s.registry import register_decoder


@register_decoder("sampling")
class Sampling(TextSearch):
    """Draws each token, at a temperature, from the most likely ones (top-k, nucleus, min-p), typical ones, or all.

    Outputs of a sentence come best first by log-probability, which is the model's own, before penalty, temperature and
    cuts. Source: Fan et al. 2018 (arXiv 1805.04833) for top-k; `s2s.decoding.cuts` names that of the other cuts.
    """

    class Config(DrawConfig):
        """Options of sampling."""

        num_hypotheses: int = Field(1, ge=1, le=10_000)
        """Outputs drawn for each sentence; decoding a file writes equal ones once."""

    config: Sampling.Config

    @torch.inference_mode()
    def __call__(self, model: StepModel, sources: SourceBatch) -> list[list[Hypothesis]]:
        """Drawn outputs of each sentence, the most likely first."""
        size, steps, count = len(sources.ids), self.config.max_length, self.num_draws
        end, device = sources.feeding.end, sources.tokens.device
        constraints = self._constraints.of(sources)
        draws = torch.stack([self._draws(id) for id in sources.ids]).to(device)  # (B, steps, N)
        live = torch.arange(size, device=device)
        tokens = torch.full((size, count, steps), end, device=device)
        log_probs = torch.zeros(size, count, steps, device=device)
        state = start(model, sources, steps, self.config)
        last: Tensor | None = None
        for step in range(steps):
            logits = model.step(state, last)
            scores = logits.expand(-1, count, -1).log_softmax(-1, dtype=torch.float32)
            written = Written(live, tokens[live, :, :step], torch.full_like(live, step), step)
            allowed = constraints(written, weighed(logits, scores, written.tokens, self.config))
            drawn = self._draw(allowed, draws[live, step], end)
            over = (tokens[live, :, step - 1] == end) if step else torch.zeros_like(drawn, dtype=torch.bool)
            drawn = drawn.masked_fill(over, end)
            gained = scores.gather(-1, drawn.unsqueeze(-1)).squeeze(-1)
            log_probs[live, :, step] = gained.masked_fill(over, 0)
            tokens[live, :, step] = drawn
            keep = (drawn != end).any(1).nonzero().squeeze(1)
            if not len(keep):
                break
            rows = keep if worth_leaving(keep, live) else None
            if rows is not None:
                live, drawn = live[rows], drawn[rows]
            parents = torch.arange(count, device=device) * (step > 0)
            state.select(rows, parents.expand(len(live), -1))
            last = drawn
        sums = zip(tokens.tolist(), log_probs.sum(-1).tolist(), strict=True)
        return [outputs_of(paths, scores, end) for paths, scores in sums]

    @property
    def num_draws(self) -> int:
        """Outputs drawn for each sentence."""
        return self.config.num_hypotheses

    def _draws(self, id: str) -> Tensor:
        """Uniform numbers for a sentence, `(steps, N)`; a sentence's first outputs do not depend on N."""
        generator = generator_of(self.config.seed, id)
        return torch.rand(self.num_draws, self.config.max_length, generator=generator).T

    def _draw(self, scores: Tensor, uniform: Tensor, end: int) -> Tensor:
        """Tokens, `(B', N)`: where the cumulative probability passes a uniform number."""
        probs, ids, stuck = candidates(scores, self.config)
        mass = widened(probs).cumsum(-1)
        place = torch.searchsorted(mass, widened(uniform).unsqueeze(-1) * mass[..., -1:], right=True)
        index = place.clamp(max=mass.shape[-1] - 1)
        drawn = index if ids is None else ids.gather(-1, index)
        return drawn.masked_fill(stuck, end).squeeze(-1)


def generator_of(seed: int, id: str) -> torch.Generator:
    """The random numbers of a sentence, which depend on a seed and its id alone."""
    digest = hashlib.blake2b(f"{seed} {id}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big", signed=True))


def weighed(logits: Tensor, log_probs: Tensor, tokens: Tensor, config: DrawConfig) -> Tensor:
    """Scores to draw by, which may be written to.

    Args:
        logits: Unnormalized scores, `(B, K, V)`; K may be 1.
        log_probs: The same, normalized, `(B, K, V)`.
        tokens: Generated so far, `(B, K, t)`.
    """
    if config.repetition_penalty is None:
        return log_probs.clone()
    scores = logits.expand_as(log_probs).to(torch.float32, copy=True)
    return penalize_repeated(scores, tokens, config.repetition_penalty)


def outputs_of(paths: Sequence[list[int]], log_probs: Sequence[float], end: int) -> list[Hypothesis]:
    """The outputs of a sentence, best first, from their tokens up to the end token or the greatest length."""
    row = []
    for path, log_prob in zip(paths, log_probs, strict=True):
        finished = end in path
        row.append(Hypothesis(path[: path.index(end)] if finished else path, log_prob, log_prob, finished))
    return sorted(row, key=lambda hypothesis: -hypothesis.score)
