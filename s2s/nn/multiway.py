"""Layers with two sets of weights, for rows of two kinds that attend to one another (BEiT-3, VLMo).

What is seen, a picture, goes one way, and what is read, a text, the other. Only the scores and sums of attention, which
have no weights, join them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from s2s.nn.attention import Attention, Rows, select_rows
from s2s.nn.transformer import NormFirstBlock


class Ways:
    """Which of N rows go the first way, `(N,)` bool, and which the second."""

    def __init__(self, seen: Tensor) -> None:
        self._seen = seen
        self._parts = [way.nonzero().squeeze(1) for way in (seen, ~seen)]
        self._order = torch.cat(self._parts)

    def at(self, rows: Rows | None) -> Ways:
        """The ways of some rows; None for all."""
        return self if rows is None else Ways(self._seen[rows])

    def each(self, functions: Sequence[Callable[..., Tensor]], *tensors: Tensor) -> Tensor:
        """Rows of some tensors `(N, ...)`, each through the function of its way, in their order again."""
        parts = zip(functions, self._parts, strict=True)
        outputs = torch.cat([function(*(x.index_select(0, rows) for x in tensors)) for function, rows in parts])
        return torch.empty_like(outputs).index_copy(0, self._order, outputs)


class Way(NormFirstBlock):
    """One set of weights, with inner norms; that of a last layer also normalizes its outputs (`closes`).

    The other options are those of `Block`.
    """

    def __init__(self, closes: bool, **options: Any) -> None:
        super().__init__(**options, inner_norms=True)
        norm = self.down_norm
        self.closing = nn.LayerNorm(norm.normalized_shape, norm.eps, bias=norm.bias is not None) if closes else None

    def transformed(self, x: Tensor) -> Tensor:
        """See `NormFirstBlock`."""
        x = super().transformed(x)
        return x if self.closing is None else self.closing(x)


class MultiwayBlock(nn.Module):
    """A layer with two ways, for what is seen and for what is read.

    Source: BEiT-3 (arXiv 2208.10442), section 2.1; `torchscale: MultiwayNetwork`, where attention has two ways too.
    """

    def __init__(self, make: Callable[[], Way]) -> None:
        super().__init__()
        self.seen, self.read = make(), make()

    def forward(self, x: Tensor, attention: Attention, rows: Rows | None = None, ways: Ways | None = None) -> Tensor:
        """Outputs at `rows` (None: all) of inputs `(N, hidden_size)`; without `ways` all are read, `(..., N, ...)`."""
        if ways is None:
            return self.read(x, attention, rows)  # type: ignore[no-any-return]
        both, asking = (self.seen, self.read), ways.at(rows)
        normed = ways.each([way.attention_norm for way in both], x)
        queries = asking.each([way.attention.queries for way in both], select_rows(normed, rows))
        keys_values = ways.each([way.attention.keys_values for way in both], normed)
        attended = attention(queries, keys_values, self.read.attention.rate).flatten(-2)
        return asking.each([_finishing(way) for way in both], select_rows(x, rows), attended)

    def keys_values(self, x: Tensor, ways: Ways) -> Tensor:
        """See `Block`."""
        return ways.each([way.keys_values for way in (self.seen, self.read)], x)


def _finishing(way: Way) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda x, attended: way.transformed(x + way.dropout(way.attention.out(attended)))


class Routed:
    """A layer with the ways of the rows that it will read; called as a `Block` is."""

    def __init__(self, layer: MultiwayBlock, ways: Ways) -> None:
        self._layer, self._ways = layer, ways

    def __call__(self, x: Tensor, attention: Attention, rows: Rows | None = None) -> Tensor:
        """See `MultiwayBlock`."""
        return self._layer(x, attention, rows, self._ways)  # type: ignore[no-any-return]

    def keys_values(self, x: Tensor) -> Tensor:
        """See `Block`."""
        return self._layer.keys_values(x, self._ways)
