"""The repetition penalty: tokens that an output already has become less likely."""

from __future__ import annotations

import torch
from torch import Tensor

from s2s.decoding.constraints import FREE


def penalize_repeated(scores: Tensor, tokens: Tensor, penalty: float | None) -> Tensor:
    """Divide the scores of tokens that were generated before by the penalty, multiply those below 0; writes into them.

    Source: Keskar et al. 2019 (arXiv 1909.05858), section 4.1; multiplying negative scores is of transformers. The rule
    depends on where 0 is: transformers gives it scores of the model in sampling and log-probabilities in beam search.

    Args:
        scores: Over the vocabulary, `(B, K, V)`.
        tokens: Generated so far, `(B, K, t)` int64; a shorter row begins with `FREE`.
        penalty: Above 1 discourages; None changes nothing.
    """
    if penalty is None or not tokens.shape[-1]:
        return scores
    repeated = torch.where(tokens == FREE, tokens[..., -1:], tokens)  # the last is a token in every row
    found = scores.gather(-1, repeated)
    return scores.scatter_(-1, repeated, torch.where(found < 0, found * penalty, found / penalty))
