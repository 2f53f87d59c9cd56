"""A head for outputs of several parts, each read from the state and the parts before it.

A note is a pitch, then a length given the pitch, then whether its syllable ends, given both. So the score of a whole
output is exact, although no table has a row for each combination.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from s2s.nn.linear import Linear


class FactoredHead(nn.Module):
    """Scores of each part of an output.

    Source: the hierarchical decoder of Bao et al. 2018 (arXiv 1809.04318), with a layer in place of each GRU.

    Args:
        hidden_size: Of the states.
        sizes: Values of each part.
        dropout: Rate on the inner states.
    """

    def __init__(self, hidden_size: int, sizes: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.mixing = nn.ModuleList(Linear(hidden_size, hidden_size) for _ in sizes)
        self.given = nn.ModuleList(nn.Embedding(size, hidden_size) for size in sizes[:-1])
        self.norms = nn.ModuleList(nn.LayerNorm(hidden_size) for _ in sizes)
        self.outputs = nn.ModuleList(Linear(hidden_size, size) for size in sizes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, part: int, states: Tensor, values: Tensor) -> Tensor:
        """Scores of one part, `(..., size)`.

        Args:
            states: `(..., hidden_size)`.
            values: Of all parts, `(..., parts)` int64; those from `part` on are not read.
        """
        x = self.mixing[part](states)
        for earlier, table in enumerate(self.given[:part]):
            x = x + table(values[..., earlier])
        return self.outputs[part](self.dropout(self.norms[part](F.gelu(x))))  # type: ignore[no-any-return]
