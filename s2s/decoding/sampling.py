"""Sampling: outputs drawn from the model's distribution, the same for a sentence whatever else is in its batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from s2s.data.batch import SourceBatch
from s2s.decoding.base import Hypothesis, StepModel, TokenIds, no_tokens
from s2s.decoding.constraints import BatchConstraints, Written
from s2s.decoding.cuts import DrawConfig, candidates
from s2s.decoding.repetition import penalize_repeated
from s2s.decoding.search_config import TextSearch, start
from s2s.decoding.searching import Beam, Searching, worth_leaving
from s2s.decoding.static import StaticSearch
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

    def __init__(self, config: Sampling.Config, token_id: TokenIds = no_tokens) -> None:
        super().__init__(config, token_id)
        self._static = StaticSearch()

    @torch.inference_mode()
    def __call__(self, model: StepModel, sources: SourceBatch) -> list[list[Hypothesis]]:
        """Drawn outputs of each sentence, the most likely first."""
        if sources.tokens.device.type == "cuda":
            return self.in_sections(model, sources)
        size, steps, count = len(sources.ids), self.config.max_length, self.num_draws
        end, device = sources.feeding.end, sources.tokens.device
        constraints = self._constraints.of(sources)
        draws = self.draws(sources)
        live = torch.arange(size, device=device)
        tokens = torch.full((size, count, steps), end, device=device)
        log_probs = torch.zeros(size, count, steps, device=device)
        state = start(model, sources, steps, self.config)
        last: Tensor | None = None
        for step in range(steps):
            logits = model.step(state, last)
            written = Written(live, tokens[live, :, :step], torch.full_like(live, step), step)
            over = (tokens[live, :, step - 1] == end) if step else torch.zeros_like(draws[live, 0], dtype=torch.bool)
            drawn, gained = self.draw(logits, written, constraints, draws[live, step], over, end)
            log_probs[live, :, step] = gained
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

    @torch.inference_mode()
    def in_sections(self, model: StepModel, sources: SourceBatch) -> list[list[Hypothesis]]:
        """The same outputs, drawn without the host on a GPU, see `s2s.decoding.static`."""
        search = self.as_search(model, sources)
        self._static.finish(search, sources.feeding)
        return outputs_of_search(search)

    def as_search(self, model: StepModel, sources: SourceBatch) -> Searching:
        """The same as a search that has done no step."""
        search = Searching(DrawingRule(self), model, sources, self._constraints.of(sources), exhaustive=True)
        tables: Any = {field.name: getattr(search.beam, field.name) for field in fields(search.beam)}
        search.beam = Drawing(**tables, uniform=self.draws(sources))
        return search

    @property
    def num_draws(self) -> int:
        """Outputs drawn for each sentence."""
        return self.config.num_hypotheses

    def draw(
        self, logits: Tensor, written: Written, constraints: BatchConstraints, uniform: Tensor, over: Tensor, end: int
    ) -> tuple[Tensor, Tensor]:
        """The next tokens, and what they add to log-probabilities, both `(B', N)`; never waits for the device.

        Args:
            logits: Unnormalized scores, `(B', N or 1, V)`.
            written: The outputs so far.
            constraints: On them.
            uniform: Numbers from 0 to 1, `(B', N)`.
            over: Outputs that have ended, `(B', N)` bool.
            end: The end-of-sequence token.
        """
        scores = logits.expand(-1, self.num_draws, -1).log_softmax(-1, dtype=torch.float32)
        allowed = constraints(written, weighed(logits, scores, written.tokens, self.config))
        drawn = self._draw(allowed, uniform, end).masked_fill(over, end)
        gained = scores.gather(-1, drawn.unsqueeze(-1)).squeeze(-1)
        return drawn, gained.masked_fill(over, 0)

    def draws(self, sources: SourceBatch) -> Tensor:
        """Uniform numbers for the sentences of a batch, `(B, steps, N)`."""
        return torch.stack([self._draws(id) for id in sources.ids]).to(sources.tokens.device)

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


@dataclass
class Drawing(Beam):
    """Outputs that are being drawn, none of which takes the place of another.

    Args:
        uniform: Numbers from 0 to 1 for each step, `(B', steps, N)`.
    """

    uniform: Tensor = field(kw_only=True)


class DrawingRule:
    """Sampling as the rule of a search, see `s2s.decoding.searching.Rule`."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling, self.config, self.max_length = sampling, sampling.config, sampling.config.max_length
        self.frame_size = self.beam_size = sampling.num_draws
        self.wanted = 1

    def survivors(
        self, beam: Beam, logits: Tensor, constraints: BatchConstraints, end: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See `Rule`: each output goes on with the token that is drawn for it."""
        assert isinstance(beam, Drawing), "made by `Sampling.as_search`"
        age = beam.ages.clamp(max=self.max_length - 1)[:, None, None].expand(-1, 1, self.beam_size)
        uniform = beam.uniform.gather(1, age).squeeze(1)  # (B', N)
        tokens, gained = self._sampling.draw(logits, beam, constraints, uniform, beam.ended.expand_as(uniform), end)
        parents = torch.arange(self.beam_size, device=tokens.device).clamp(max=beam.scores.shape[1] - 1)
        return beam.scores + gained, parents.expand_as(tokens), tokens

    def is_complete(self, beam: Beam, exhaustive: bool) -> Tensor:
        """See `Rule`: when all outputs have ended."""
        return beam.ended.all(1)


def outputs_of_search(search: Searching) -> list[list[Hypothesis]]:
    """The outputs of each sentence of a search by `DrawingRule` that is over."""
    tokens, scores = search.trace.tokens.transpose(1, 2), search.trace.scores
    last = scores[torch.arange(len(scores), device=scores.device), search.trace.last]  # (B, N)
    paths = zip(tokens.tolist(), search.trace.last.tolist(), last.tolist(), strict=True)
    return [outputs_of([path[: stop + 1] for path in row], sums, search.end) for row, stop, sums in paths]


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
