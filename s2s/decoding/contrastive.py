"""Contrastive search: likely tokens that differ from what the output already says."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from s2s.data.batch import SourceBatch
from s2s.decoding.base import Hypothesis, StepModel
from s2s.decoding.constraints import Written
from s2s.decoding.repetition import penalize_repeated
from s2s.decoding.sampling import outputs_of
from s2s.decoding.search_config import SearchConfig, TextSearch, start
from s2s.decoding.searching import worth_leaving
from s2s.errors import ConfigError
from s2s.registry import register_decoder


@runtime_checkable
class RepresentingModel(StepModel, Protocol):
    """A model that also shows how it represents the tokens that it is fed."""

    def step_represented(self, state: Any, tokens: Tensor | None) -> tuple[Tensor, Tensor]:
        """As `step`, and the last hidden state of each token, `(B, K, D)`.

        At the first step it is that of the token that starts outputs, `(B, 1, D)`; without one it is empty.
        """


@register_decoder("contrastive")
class ContrastiveSearch(TextSearch):
    """Takes, of the k most likely tokens, the one with the best balance of probability and difference from the output.

    A token costs its greatest cosine similarity to a token of the output, by their last hidden states; the source does
    not count, as for encoder-decoder models in transformers. The same input gives the same output.
    Source: Su et al. 2022 (arXiv 2202.06417), equation 5.
    """

    class Config(SearchConfig):
        """Options of contrastive search."""

        top_k: int = Field(4, ge=1, le=1000)
        """Candidates at each step; the model reads each of them."""
        penalty_alpha: float = Field(0.6, ge=0, le=1)
        """Weight of the similarity; that of the probability is 1 minus it. 0 is greedy search."""

    config: ContrastiveSearch.Config

    def check_lengths(self, model: StepModel, sources: SourceBatch) -> None:
        model.check_lengths(sources.lengths, self.config.max_length + 1)

    @torch.inference_mode()
    def __call__(self, model: StepModel, sources: SourceBatch) -> list[list[Hypothesis]]:
        """The output of each sentence."""
        if not isinstance(model, RepresentingModel):
            raise ConfigError(
                f"decoder.name: contrastive needs hidden states, which {type(model).__name__} does not show"
            )
        size, steps, end, device = len(sources.ids), self.config.max_length, sources.feeding.end, sources.tokens.device
        constraints, live = self._constraints.of(sources), torch.arange(size, device=device)
        tokens = torch.full((size, 1, steps), end, device=device)
        sums = torch.zeros(size, device=device)
        state = start(model, sources, steps + 1, self.config)  # the last token is read too, to compare it
        logits, seen = model.step_represented(state, None)
        seen = F.normalize(seen.float(), dim=-1)  # (B', tokens so far, D)
        count = min(self.config.top_k, logits.shape[-1])
        rows, chosen = None, torch.zeros(size, dtype=torch.int64, device=device)
        for step in range(steps):
            state.select(rows, chosen.unsqueeze(1).expand(-1, count))
            written = Written(live, tokens[live, :, :step], torch.full_like(live, step), step)
            scores = penalize_repeated(logits.float(), written.tokens, self.config.repetition_penalty)
            scores = scores.log_softmax(-1)
            ends = scores[:, 0, end].clone()
            log_probs, ids = constraints(written, scores).squeeze(1).topk(count, -1)  # (B', k)
            stuck = log_probs[:, 0] == -torch.inf  # nothing is allowed: it ends
            log_probs[:, 0] = torch.where(stuck, ends, log_probs[:, 0])
            ids[:, 0] = torch.where(stuck, end, ids[:, 0])
            logits, shown = model.step_represented(state, ids)
            shown = F.normalize(shown.float(), dim=-1)
            chosen = contrasted(log_probs, shown, seen, self.config.penalty_alpha).argmax(1)  # (B',)
            over = tokens[live, 0, step - 1] == end if step else torch.zeros_like(live, dtype=torch.bool)
            token = ids.gather(1, chosen.unsqueeze(1)).squeeze(1).masked_fill(over, end)
            tokens[live, 0, step] = token
            sums[live] += log_probs.gather(1, chosen.unsqueeze(1)).squeeze(1).masked_fill(over, 0)
            keep = (token != end).nonzero().flatten()
            if not len(keep):
                break
            each = torch.arange(len(live), device=device)
            logits, seen = logits[each, chosen].unsqueeze(1), torch.cat([seen, shown[each, chosen].unsqueeze(1)], 1)
            rows = keep if worth_leaving(keep, live) else None
            if rows is not None:
                live, chosen, logits, seen = live[rows], chosen[rows], logits[rows], seen[rows]
        return [
            outputs_of(path, [log_prob], end) for path, log_prob in zip(tokens.tolist(), sums.tolist(), strict=True)
        ]


def contrasted(log_probs: Tensor, shown: Tensor, seen: Tensor, alpha: float) -> Tensor:
    """Scores of candidates, `(B, k)`: (1 - alpha) probability - alpha greatest similarity.

    Args:
        log_probs: Of the candidates, `(B, k)`; -inf is not allowed.
        shown, seen: Representations of the candidates `(B, k, D)` and of the tokens before `(B, t, D)`, of length 1.
    """
    similar = torch.zeros_like(log_probs)
    if seen.shape[1]:
        similar = (shown @ seen.transpose(1, 2)).amax(-1)
    scores = (1 - alpha) * log_probs.exp() - alpha * similar
    return scores.masked_fill(log_probs == -torch.inf, -torch.inf)
