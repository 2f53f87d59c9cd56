"""What a sampler draws from: the distribution of the next token at a temperature, without the tokens that are cut off.

A cut sets probabilities to 0 and leaves the others as they are; whoever draws divides by what is left. Several cuts
apply in the order of `DrawConfig`, each to what the one before has left, as in transformers.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from s2s.decoding.search_config import SearchConfig


class DrawConfig(SearchConfig):
    """Options of drawing tokens."""

    temperature: float = Field(1.0, ge=1e-6, le=1e6)
    """Scores are divided by it: below 1 prefers likely tokens, above 1 unlikely ones."""
    top_k: int = Field(0, ge=0)
    """Draw from this many most likely tokens; 0 is all."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Draw from the most likely tokens that together reach this probability; 1 is all."""
    min_p: float | None = Field(None, gt=0, le=1)
    """Draw from tokens at least this share as likely as the most likely one; null is all."""
    typical_p: float | None = Field(None, gt=0, lt=1)
    """Draw from the tokens whose surprise is nearest to the expected one, which together reach this probability; null
    is all."""
    seed: int = Field(0, ge=0, lt=2**64)
    """The draws of a sentence depend on this and on its id alone."""


def candidates(scores: Tensor, config: DrawConfig) -> tuple[Tensor, Tensor | None, Tensor]:
    """What to draw the next token from.

    Args:
        scores: Over the vocabulary, `(B, K, V)`; -inf is not allowed.

    Returns:
        Probabilities, 0 where a token is cut off, `(B, K, C)`, which need not sum to 1; the tokens that they belong to,
        or None if these are the vocabulary in its order; and whether no token at all is allowed, `(B, K, 1)` bool.
    """
    scores, ids = _ordered(scores / config.temperature, config)
    stuck = scores.amax(-1, keepdim=True) == -torch.inf
    probs = scores.masked_fill(stuck, 0).softmax(-1)
    if config.top_p < 1:
        probs = nucleus(probs, config.top_p)
    if config.min_p is not None:
        probs = likely(probs, config.min_p)
    if config.typical_p is not None:
        probs = typical(probs, config.typical_p)
    return probs, ids, stuck


def _ordered(scores: Tensor, config: DrawConfig) -> tuple[Tensor, Tensor | None]:
    """Scores and their tokens, most likely first, where a cut needs this order; else all in the vocabulary's order."""
    if config.top_k:
        return scores.topk(min(config.top_k, scores.shape[-1]), -1)
    if config.top_p < 1:
        return scores.sort(-1, descending=True)
    return scores, None


def nucleus(probs: Tensor, mass: float) -> Tensor:
    """The most likely tokens that together reach a probability, of `(..., C)` in descending order.

    Source: Holtzman et al. 2020 (arXiv 1904.09751).
    """
    before = probs.cumsum(-1) - probs
    return probs.masked_fill(before >= mass, 0)


def likely(probs: Tensor, share: float) -> Tensor:
    """The tokens that are at least this share as likely as the most likely one.

    Source: min-p, Nguyen et al. 2024 (arXiv 2407.01082).
    """
    return probs.masked_fill(probs < share * probs.amax(-1, keepdim=True), 0)


def typical(probs: Tensor, mass: float) -> Tensor:
    """The tokens whose surprise -log p is nearest to its expectation, as many as together reach a probability.

    Source: locally typical sampling, Meister et al. 2023 (arXiv 2202.00666); ties are kept, as in transformers.
    """
    shares = probs / probs.sum(-1, keepdim=True)
    distance = (shares.log() + torch.special.entr(shares).sum(-1, keepdim=True)).abs()
    nearest, order = distance.sort(-1)
    reached = shares.gather(-1, order).cumsum(-1)
    last = (reached < mass).sum(-1, keepdim=True).clamp(max=probs.shape[-1] - 1)
    return probs.masked_fill(distance > nearest.gather(-1, last), 0)
