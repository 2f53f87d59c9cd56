"""What is remembered while melodies are written, and which tokens may follow.

A note takes three steps: pitch, length, whether its syllable ends. The pointer of a hypothesis says which syllable is
sung; it moves on where a syllable ends. The end token is impossible before the last syllable has ended, and certain
after it. When only as many notes are left as syllables, each note must end its syllable. So every search that respects
impossible tokens writes melodies with as many syllables as the lyrics.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from s2s.data.melody_vocabulary import END, REST_PITCH, STREAMS
from s2s.nn.attention import Attention
from s2s.nn.cache import Pool
from s2s.nn.crossing import see_all

_BOUNDARY = STREAMS.index("boundary")


@dataclass
class MelodyState:
    """State while the melodies of B lines are written, K hypotheses of each.

    Args:
        pool: Keys and values of notes.
        memory: States of syllables and context, `(B, S + C, D)`.
        seen: Their keys and values in each layer of the decoder, `(B, layers, S + C, 2, H, D)`.
        real: Which of them are not padding, `(B, S + C)` bool.
        counts: Syllables, `(B,)` int64.
        pointers: The syllable that is sung, `(B, K)` int64; that of a whole melody is its number of syllables.
        note: The streams of the note that is written, or of the last one, `(B, K, 3)` int64.
        features: From which the note is predicted, `(B, K, D)`.
        budget: Maximum notes.
        steps: How many tokens were taken.
    """

    pool: Pool
    memory: Tensor
    seen: Tensor
    real: Tensor
    counts: Tensor
    pointers: Tensor
    note: Tensor
    features: Tensor
    budget: int
    steps: int = 0

    @classmethod
    def begin(cls, pool: Pool, memory: Tensor, seen: Tensor, real: Tensor, counts: Tensor, budget: int) -> MelodyState:
        """Before the first note."""
        pointers = torch.zeros_like(counts).unsqueeze(1)
        note = torch.zeros_like(pointers).unsqueeze(-1).expand(-1, -1, len(STREAMS)).clone()
        return cls(pool, memory, seen, real, counts, pointers, note, memory[:, :1], budget)

    @property
    def stream(self) -> int:
        """The stream of the next token."""
        return self.steps % len(STREAMS)

    @property
    def notes_done(self) -> int:
        """Whole notes of each hypothesis."""
        return self.steps // len(STREAMS)

    def take(self, tokens: Tensor, sizes: Sequence[int]) -> None:
        """Append a token to each hypothesis, `(B, K)`; those that have ended may have any."""
        values = (tokens - first_token(self.stream, sizes)).clamp(0, sizes[self.stream] - 1)
        self.note[..., self.stream] = values
        if self.stream == _BOUNDARY:
            self.pointers = self.pointers + values
        self.steps += 1

    def across(self, layer: int) -> Attention:
        """Attention of a layer to syllables and context."""

        def attention(queries: Tensor, _: Tensor, dropout: float) -> Tensor:
            return see_all(queries, self.seen[:, layer], self.real, dropout)

        return attention

    def select(self, sentences: Tensor | None, parents: Tensor) -> None:
        """See `s2s.decoding.base.State`."""
        self.pool.select(sentences, parents)
        if sentences is not None:
            for name in ("memory", "seen", "real", "counts", "pointers", "note", "features"):
                setattr(self, name, getattr(self, name)[sentences])
        rows = torch.arange(len(parents), device=parents.device).unsqueeze(1)
        self.pointers, self.note, self.features = (
            table[rows, parents] for table in (self.pointers, self.note, self.features)
        )


def first_token(stream: int, sizes: Sequence[int]) -> int:
    """The token of the first value of a stream."""
    return END + 1 + sum(sizes[:stream])


def constrain(state: MelodyState, logits: Tensor, sizes: Sequence[int]) -> Tensor:
    """Scores over all tokens, `(B, K, V)`, from those of the stream, `(B, K, size)`; -inf for what cannot follow."""
    left = state.counts.unsqueeze(1) - state.pointers
    is_tight = state.budget - state.notes_done <= left
    if state.stream == 0:
        logits[..., REST_PITCH].masked_fill_(is_tight, -math.inf)
        logits.masked_fill_((left <= 0).unsqueeze(-1), -math.inf)
    elif state.stream == _BOUNDARY:
        logits[..., 0].masked_fill_(is_tight & (state.note[..., 0] != REST_PITCH), -math.inf)
    first = first_token(state.stream, sizes)
    scores = logits.new_full((*logits.shape[:2], 1 + sum(sizes)), -math.inf)
    scores[..., first : first + sizes[state.stream]] = logits
    if state.stream == 0:
        scores[..., END].masked_fill_(left <= 0, 0.0)
    return scores
