"""Beam search over a cached model: the rule of s2s-ft, exactly, with finished sentences leaving the batch.

At each step every open hypothesis proposes its K best tokens, and the K best of all these survive. A survivor that
ends takes its place in that frame, proposes nothing afterwards, and so the beam is full again one step later. A
sentence is complete when all its survivors have ended, or when no open one can still pass the best that ended:
log-probabilities only fall, so an open hypothesis is worth at most its present one at the greatest length.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from s2s.data.batch import SourceBatch
from s2s.decoding import ranking
from s2s.decoding.base import Hypothesis, StepModel, TokenIds, no_tokens
from s2s.decoding.constraints import BatchConstraints
from s2s.decoding.repetition import penalize_repeated
from s2s.decoding.search_config import SearchConfig, TextSearch
from s2s.decoding.searching import Beam, Searching
from s2s.decoding.static import StaticSearch
from s2s.decoding.top import top_tokens
from s2s.decoding.trace import Trace
from s2s.nn.precision import widened
from s2s.registry import register_decoder


@register_decoder("beam")
class BeamSearch(TextSearch):
    """Beam search by the rule of s2s-ft (K survivors from K * K proposals); `beam_size: 1` is greedy search.

    Source: `microsoft/unilm: s2s-ft/s2s_ft/modeling_decoding.py`. fairseq's and transformers' search is `wide_beam`.
    """

    class Config(SearchConfig):
        """Options of beam search."""

        beam_size: int = Field(5, ge=1, le=1000)
        """Hypotheses kept at each step; 1 is greedy search."""
        num_hypotheses: int = Field(1, ge=1)
        """Maximum outputs of each sentence, all different, best first; at most beam_size."""
        length_penalty: float = Field(0.0, ge=0, le=20)
        """Exponent of the length by which log-probabilities are divided: above 0 favors long outputs, 0 is off."""
        length_penalty_form: Literal["gnmt", "power"] = "gnmt"
        """What the exponent applies to: (5 + length) / 6 (GNMT, s2s-ft), or the length (fairseq; 1 is the average)."""

        @model_validator(mode="after")
        def _enough_hypotheses(self) -> Any:
            if self.num_hypotheses > self.beam_size:
                raise ValueError(f"num_hypotheses {self.num_hypotheses} must be at most beam_size {self.beam_size}")
            return self

    config: BeamSearch.Config
    joins: ClassVar[bool] = True
    """Whether texts may join a search under way."""

    def __init__(self, config: BeamSearch.Config, token_id: TokenIds = no_tokens) -> None:
        super().__init__(config, token_id)
        form = ranking.gnmt if config.length_penalty_form == "gnmt" else ranking.power
        self._ranking = form(config.length_penalty)
        self.beam_size, self.max_length = config.beam_size, config.max_length
        self.frame_size, self.wanted = config.beam_size, config.num_hypotheses
        self.static = StaticSearch()

    def __call__(self, model: StepModel, sources: SourceBatch) -> list[list[Hypothesis]]:
        """The best hypotheses of each sentence; the same whatever else is in the batch."""
        return self.best(self._search(model, sources, exhaustive=False))

    def trace(self, model: StepModel, sources: SourceBatch) -> Trace:
        """All frames, searched until every survivor has ended, so that any ranking can choose from them."""
        return self._search(model, sources, exhaustive=True)

    def best(self, trace: Trace) -> list[list[Hypothesis]]:
        """The hypotheses that the configured ranking chooses from a trace."""
        return trace.best(self._ranking, self.config.num_hypotheses)

    @torch.inference_mode()
    def start(self, model: StepModel, sources: SourceBatch, exhaustive: bool = False) -> Searching:
        """A search that has done no step yet; `exhaustive`: until every survivor has ended."""
        return Searching(self, model, sources, self._constraints.of(sources), exhaustive)

    @torch.inference_mode()
    def _search(self, model: StepModel, sources: SourceBatch, exhaustive: bool) -> Trace:
        search = self.start(model, sources, exhaustive)
        if sources.tokens.device.type == "cuda":
            self.static.finish(search, sources.feeding)
        else:
            while len(search.step()):
                pass
        return search.trace

    def survivors(
        self, beam: Beam, logits: Tensor, constraints: BatchConstraints, end: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The next frame: scores, parents and tokens of a sentence's survivors, each `(B', K)`; the first K continue.

        Args:
            logits: Unnormalized scores of the token after each hypothesis of the beam, `(B', K, V)`.
            end: The end-of-sequence token.
        """
        proposals, ids = propose(beam, self.log_probs(beam, logits), constraints, end, self.config.beam_size)
        return take_best(proposals, ids, self.config.beam_size)

    def log_probs(self, beam: Beam, logits: Tensor) -> Tensor:
        """Log-probabilities of the next token, `(B', K, V)` float32, under the repetition penalty."""
        log_probs = logits.log_softmax(-1, dtype=torch.float32)
        return penalize_repeated(log_probs, beam.tokens, self.config.repetition_penalty)

    def is_complete(self, beam: Beam, exhaustive: bool) -> Tensor:
        """Whether the search in a sentence is over, `(B',)` bool; see `Rule`."""
        over = beam.ended | (beam.scores == -torch.inf)
        complete = over.all(1)
        if exhaustive:
            return complete
        scores = widened(beam.scores)
        length = beam.ages.unsqueeze(1).to(scores).expand_as(scores)
        ranks = self._ranking(scores, length).masked_fill(~beam.ended, -torch.inf)
        beam.finished = torch.cat([beam.finished, ranks], 1).topk(beam.finished.shape[1], 1).values
        return complete | self._is_decided(beam.finished, scores.masked_fill(over, -torch.inf), length)

    def _is_decided(self, finished: Tensor, scores: Tensor, lengths: Tensor) -> Tensor:
        """Whether no open hypothesis can pass those that ended, `(B',)` bool.

        Args:
            finished: Ranks of the best that ended, best first, `(B', N)`.
            scores, lengths: Of the open hypotheses, `(B', K)`.
        """
        reachable = self._ranking(scores, torch.full_like(lengths, self.config.max_length))
        return finished[:, -1] >= reachable.amax(1)


def propose(
    beam: Beam, log_probs: Tensor, constraints: BatchConstraints, end: int, count: int
) -> tuple[Tensor, Tensor]:
    """The `count` best continuations of each hypothesis; one without an allowed token may end.

    Args:
        log_probs: Of the token after each hypothesis of the beam, `(B', K, V)` float32; the constraints write to them.
        end: The end-of-sequence token.

    Returns:
        Sums of log-probabilities, `(B', K, count)` float32, -inf for those of ended hypotheses; tokens, the same shape.
    """
    end_scores = log_probs[..., end].clone()
    return continuations(beam, constraints(beam, log_probs), end_scores, end, count)


def continuations(beam: Beam, allowed: Tensor, end_scores: Tensor, end: int, count: int) -> tuple[Tensor, Tensor]:
    """The `count` best continuations, see `propose`.

    Args:
        allowed: Log-probabilities under the constraints, `(B', K, V)`.
        end_scores: Those of the end token without them, `(B', K)`, for a hypothesis without an allowed token.
    """
    scores, ids = top_tokens(allowed, count)
    stuck = scores[..., 0] == -torch.inf
    scores[..., 0] = torch.where(stuck, end_scores, scores[..., 0])
    ids[..., 0] = torch.where(stuck, end, ids[..., 0])
    return scores + beam.scores.masked_fill(beam.ended, -torch.inf).unsqueeze(-1), ids


def take_best(proposals: Tensor, ids: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The best of all continuations of a sentence: scores, parents and tokens, each `(B', count)`; -inf if there are
    fewer.
    """
    width = proposals.shape[2]
    flat, ids = proposals.flatten(1), ids.flatten(1)
    lacking = count - flat.shape[1]
    if lacking > 0:
        flat = torch.nn.functional.pad(flat, (0, lacking), value=-torch.inf)
        ids = torch.nn.functional.pad(ids, (0, lacking))
    scores, index = flat.topk(count, 1)
    parents = (index // width).clamp(max=proposals.shape[1] - 1)
    return scores, parents, ids.gather(1, index)
