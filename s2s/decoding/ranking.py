"""Rankings of hypotheses: from log-probabilities and lengths (the end token counts), float64 tensors of one shape, to
scores of that shape; higher is better.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

Ranking = Callable[[Tensor, Tensor], Tensor]


def gnmt(alpha: float) -> Ranking:
    """Log-probability over ((5 + length) / 6) ** alpha; alpha <= 0 leaves it as it is.

    Source: Wu et al. 2016 (arXiv 1609.08144), equation 14, without the coverage term.
    """
    return lambda log_probs, lengths: log_probs / ((5 + lengths) / 6) ** max(0.0, alpha)


def power(alpha: float) -> Ranking:
    """Log-probability over length ** alpha; 1 is the average log-probability, alpha <= 0 leaves it as it is."""
    return lambda log_probs, lengths: log_probs / lengths ** max(0.0, alpha)


def length_reward(reward: float, expected: float | None = None) -> Ranking:
    """Log-probability plus a reward for each token, or minus one for each token away from an expected length."""
    if expected is None:
        return lambda log_probs, lengths: log_probs + reward * lengths
    return lambda log_probs, lengths: log_probs - reward * (lengths - expected).abs()
