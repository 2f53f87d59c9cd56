"""Batches of random tokens for `tiny_models.tiny_unilm`, in each layout of step codes."""

from __future__ import annotations

import torch

from s2s.data.batch import PADDING, TokenBatch

P = PADDING
LAYOUTS = {  # step codes, and columns of context
    "text": ([[0, 0, 0, 0, 0, 0], [0, 0, 0, P, P, P]], 6),
    "seq2seq": ([[0, 0, 0, 1, 2, 3], [0, 0, P, 1, 2, P]], 3),
    "pseudo-masked": ([[0, 0, 1, 2, -1, -2], [0, P, 1, P, -1, P]], 2),
}


def batch_of(layout: str, seed: int = 0) -> TokenBatch:
    """Two sentences, the second one shorter, with a label at every real slot."""
    codes, context = LAYOUTS[layout]
    steps = torch.tensor(codes)
    real = steps != PADDING
    tokens = torch.randint(5, 31, steps.shape, generator=torch.Generator().manual_seed(seed)) * real
    positions = torch.arange(steps.shape[1]).expand_as(steps) * real
    slots = real.flatten().nonzero().squeeze(1)
    labels = tokens.flatten()[slots]
    return TokenBatch(["a", "b"], tokens, positions, torch.zeros_like(tokens), steps, context, slots, labels, 0)
