"""The best tokens of a large vocabulary, found through the maxima of its blocks."""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 128


def top_tokens(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The highest scores and their tokens, highest first; fewer than `count` if the vocabulary is smaller.

    Exact: the `count` best tokens lie in the `count` blocks whose maxima are highest, so only those are searched.

    Args:
        scores: `(B, K, V)`.

    Returns:
        Scores and token ids, `(B, K, count)`.
    """
    size = scores.shape[-1]
    blocks = size // BLOCK
    if blocks <= 4 * count:
        return scores.topk(min(count, size), -1)
    whole = scores.unfold(-1, BLOCK, BLOCK)  # (B, K, blocks, BLOCK), a view without the rest
    best = whole.amax(-1).topk(count, -1).indices  # (B, K, count)
    found = whole.gather(-2, best.unsqueeze(-1).expand(*best.shape, BLOCK)).flatten(-2)
    ids = (best.unsqueeze(-1) * BLOCK + torch.arange(BLOCK, device=scores.device)).flatten(-2)
    rest = torch.arange(blocks * BLOCK, size, device=scores.device).expand(*scores.shape[:-1], -1)
    values, index = torch.cat([found, scores[..., blocks * BLOCK :]], -1).topk(count, -1)
    return values, torch.cat([ids, rest], -1).gather(-1, index)
