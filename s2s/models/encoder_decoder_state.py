"""What an encoder-decoder remembers while it generates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from s2s.nn.attention import Attention
from s2s.nn.cache import Pool, placed
from s2s.nn.copying import CopySources
from s2s.nn.crossing import see_all
from s2s.nn.temperature import Factors, scaled


@dataclass
class EncoderDecoderState:
    """State while sentences are generated: B sentences, S source slots.

    Args:
        pool: Keys and values of outputs.
        sources: Keys and values of each source in each layer of the decoder, `(B, layers, S, 2, H, D)`.
        real: Source slots that are not padding, `(B, S)` bool.
        following: The position of the next token of each sentence, `(B,)` int64.
        start: The token that is fed before the first one.
        steps_left: Maximum number of steps that may follow.
        max_positions: Of the model.
        factors: By what scores of attention are multiplied.
        copies: What can be copied, if the model has a copy head.
    """

    pool: Pool
    sources: Tensor
    real: Tensor
    following: Tensor
    start: int
    steps_left: int
    max_positions: int
    factors: Factors
    copies: CopySources | None = None

    def across(self, layer: int) -> Attention:
        """Attention of a layer to the sources."""

        def attend(queries: Tensor, _: Tensor, dropout: float) -> Tensor:
            return see_all(queries, self.sources[:, layer], self.real, dropout)

        return scaled(attend, self.factors.cross)

    def advance(self) -> None:
        """One step more; a sentence that is no longer needed may go on longer than the positions reach."""
        self.following = (self.following + 1).clamp(max=self.max_positions - 1)
        self.steps_left -= 1

    def select(self, sentences: Tensor | None, parents: Tensor) -> None:
        """See `s2s.decoding.base.State`."""
        self.pool.select(sentences, parents)
        if sentences is not None:
            self.sources, self.real, self.following = (
                table.index_select(0, sentences) for table in (self.sources, self.real, self.following)
            )
            if self.copies is not None:
                self.copies.select(sentences)

    def join(self, other: EncoderDecoderState, places: Sequence[int]) -> None:
        """See `s2s.decoding.base.JoinableState`."""
        self.steps_left = max(self.steps_left, other.steps_left)
        self.pool.join(other.pool, places, self.steps_left)
        self.following = placed(self.following, other.following, places)
        width = max(self.real.shape[1], other.real.shape[1])
        mine, theirs = ((0, width - state.real.shape[1]) for state in (self, other))
        self.real = placed(F.pad(self.real, mine), F.pad(other.real, theirs), places)
        if self.copies is not None and other.copies is not None:
            self.copies.join(other.copies, places)
        around = (0, 0, 0, 0, 0, 0)  # of heads, their widths, and keys and values
        self.sources = placed(F.pad(self.sources, around + mine), F.pad(other.sources, around + theirs), places)
