"""FlexAttention over packed rows: one fused call for a whole batch, for GPUs. No dropout on attention weights.

All sentences form one sequence. Visibility is computed from two integers per row (sentence and step code), so no mask
is stored, and fully hidden tiles are skipped. On a CPU there is no backward pass.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from s2s.nn.masks import sees
from s2s.nn.positions import Relative, RelativeBias, Window


class Slots(NamedTuple):
    """Sentence, step code and position id of each row, `(N,)`."""

    sentences: Tensor
    steps: Tensor
    positions: Tensor


class FlexAttention:
    """`torch.nn.attention.flex_attention` over M query rows, `asking`, and all N key rows, `answering`."""

    def __init__(self, asking: Slots, answering: Slots, relative: Relative | None) -> None:
        def allowed(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            own = asking.sentences[query] == answering.sentences[key]
            seen = own & sees(asking.steps[query], answering.steps[key])
            if isinstance(relative, Window):
                seen = seen & ((asking.positions[query] - answering.positions[key]).abs() <= relative.reach)
            return seen

        device = asking.steps.device
        sizes = len(asking.steps), len(answering.steps)
        self._visible = _functions(device.type)[1](allowed, None, None, *sizes, device=device)
        self._bias = None
        if isinstance(relative, RelativeBias):
            self._bias = _bias_of(asking.positions, answering.positions, relative)

    def __call__(self, queries: Tensor, keys_values: Tensor, dropout: float) -> Tensor:
        """See `s2s.nn.attention.Attention`; `(M, H, D)` and `(N, 2, H, D)` give `(M, H, D)`."""
        assert dropout == 0, "FlexAttention has no dropout; the model's configuration refuses it"
        keys, values = keys_values.permute(1, 2, 0, 3).unsqueeze(1)  # (1, H, N, D)
        asked = queries.transpose(0, 1)[None]
        flex_attention = _functions(queries.device.type)[0]
        output = flex_attention(asked, keys, values, score_mod=self._bias, block_mask=self._visible)
        return output[0].transpose(0, 1)  # type: ignore[no-any-return]


def _bias_of(asking: Tensor, answering: Tensor, relative_bias: RelativeBias) -> Any:
    weight, buckets, most = relative_bias.weight, relative_bias.buckets, relative_bias.max_distance

    def add(score: Tensor, batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        distance = (answering[key] - asking[query]).clamp(-most, most)
        return score + weight[head, buckets[distance + most]]

    return add


@cache
def _functions(device: str) -> tuple[Any, Any]:
    """`flex_attention` and `create_block_mask`, compiled once where there is a GPU."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    if device != "cuda":
        return flex_attention, create_block_mask
    return torch.compile(flex_attention, dynamic=True), torch.compile(create_block_mask, dynamic=True)
