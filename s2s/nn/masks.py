"""Visibility: one signed step code per slot, one rule for training and decoding.

A step code is 0 for context, +k for a true token of step k, -k for a pseudo token of step k. A true token sees all that
is not later than itself. A pseudo token marks where a token of its step is predicted: it sees all that is strictly
earlier, and the pseudo tokens of its own step. Example, two context slots and two target steps (1 = sees):

    codes        0  0  1  2 -1 -2
     0           1  1  .  .  .  .
     1           1  1  1  .  .  .
     2           1  1  1  1  .  .
    -1           1  1  .  .  1  .
    -2           1  1  1  .  .  1

A code beyond every step marks padding: no real slot sees it. Source: UniLMv2 (arXiv 2002.12804), figure 3.
"""

from __future__ import annotations

import torch
from torch import Tensor

HIDDEN = -65504.0
"""Added to the score of a hidden key, whose weight becomes exactly 0; every floating type can represent it."""


def visible(queries: Tensor, keys: Tensor) -> Tensor:
    """Whether queries with step codes `(..., Q)` may attend to keys with step codes `(..., K)`: `(..., Q, K)` bool."""
    return sees(queries.unsqueeze(-1), keys.unsqueeze(-2))


def sees(query: Tensor, key: Tensor) -> Tensor:
    """Whether the step code of a query may attend to that of a key; the shapes broadcast."""
    latest = torch.where(query >= 0, query, -query - 1)
    return ((key >= 0) & (key <= latest)) | (key == query)


def additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """The mask as a bias on the scores: 0 where True, `HIDDEN` where False."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, HIDDEN)
