"""Replacements for masked tokens: what a generator draws them from, and what its own mistakes cost.

A generator gives each token x of a place the probability p(x), and predicts the loss L(x) > 0 that a discriminator
would have if x stood there. Draws from q, which is p L divided by its sum, meet plausible tokens that are hard to
detect. A draw counts p / q times, so that the mean of the loss of its place stays what it is for draws from p. This is
exact for one place, given the others; how draws change the loss of other tokens is not corrected.

Source: Hao et al. (2021), arXiv 2106.13715. Only its abstract was at hand, so the formulas are our reading of it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def focal_loss(log_probs: Tensor, labels: Tensor, gamma: float) -> Tensor:
    """The loss `(N,)` of labels `(N,)`, given log-probabilities `(N, V)`: -(1 - p)^gamma log p.

    It counts labels less that the model is already sure of. With gamma 0 it is cross entropy.

    Source: Lin et al. (2017), arXiv 1708.02002.
    """
    log_p = log_probs.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    if not gamma:
        return -log_p
    others = -torch.expm1(log_p)
    return -others.clamp(min=torch.finfo(others.dtype).tiny).pow(gamma) * log_p  # the power has no slope at 0


def proposal(probabilities: Tensor, predicted_losses: Tensor) -> Tensor:
    """q, the distributions `(N, V)` to draw from, of p and of predicted losses above 0, both `(N, V)`."""
    products = probabilities * predicted_losses
    return products / products.sum(-1, keepdim=True)


def draw(distributions: Tensor, uniform: Tensor) -> Tensor:
    """One token `(N,)` from each distribution `(N, V)`: that at which the sum from the first on exceeds `uniform`.

    Args:
        uniform: Numbers from 0 to 1, without 1, `(N,)`.
    """
    sums = distributions.double().cumsum(-1)
    found = torch.searchsorted(sums, uniform.double().unsqueeze(-1) * sums[:, -1:], right=True)
    return found.squeeze(-1).clamp(max=distributions.shape[-1] - 1)


def importance(probabilities: Tensor, distributions: Tensor, tokens: Tensor) -> Tensor:
    """How often a draw counts, p / q, `(N,)`: tokens `(N,)` drawn from q, of which p and q are `(N, V)`."""
    p, q = (table.gather(-1, tokens.unsqueeze(-1)).squeeze(-1) for table in (probabilities, distributions))
    return p / q.clamp(min=torch.finfo(q.dtype).tiny)


def entropy(distributions: Tensor) -> Tensor:
    """Entropy in nats, `(N,)`, of distributions `(N, V)`."""
    surprises: Tensor = torch.special.entr(distributions)
    return surprises.sum(-1)
