"""Batches of lyrics and melodies. Axes: B lines, L letters, S syllables, C notes of the context, N notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from s2s.data.batch import Ids, Movable, SourceBatch


@dataclass(frozen=True)
class LyricsLine:
    """What a melody is written from; `tokens` are the letters of the lyrics.

    Args:
        tokens: Letters of the syllables, L of them.
        owners: The number of the syllable of each letter, `(L,)`.
        context: Notes before, `(C, 3)`, as values of the streams.
        num_cut: Notes of the context that were left out.
    """

    id: str
    tokens: list[int]
    owners: Ids
    context: Ids
    num_cut: int = 0
    prefix: list[int] = field(default_factory=list)
    gives_form: ClassVar[bool] = True
    """Melodies have as many syllables as their lyrics; see `s2s.decoding.constraints.Constraints.check_form`."""

    @property
    def num_syllables(self) -> int:
        """S."""
        return int(self.owners[-1]) + 1


@dataclass(frozen=True)
class Lyrics(Movable):
    """What some lines are written from.

    Args:
        letters: `(B, L)` int64, 0 at padding.
        owners: The number of the syllable of each letter, `(B, L)` int64.
        counts: Syllables, `(B,)` int64.
        context: Notes before, as values of the three streams, `(B, C, 3)` int64.
        context_lengths: `(B,)` int64.
    """

    letters: Tensor
    owners: Tensor
    counts: Tensor
    context: Tensor
    context_lengths: Tensor

    @classmethod
    def of(cls, lines: Sequence[LyricsLine]) -> Lyrics:
        """Lines, padded on the right."""
        return cls(
            letters=_padded([np.array(line.tokens) for line in lines]),
            owners=_padded([line.owners for line in lines]),
            counts=torch.tensor([line.num_syllables for line in lines]),
            context=_padded([line.context for line in lines]),
            context_lengths=torch.tensor([len(line.context) for line in lines]),
        )


@dataclass(frozen=True)
class MelodyExample:
    """A line and its notes, `(N, 3)`."""

    source: LyricsLine
    notes: Ids


@dataclass(frozen=True)
class MelodyBatch(Movable):
    """Lines with their notes, as values of the three streams, `(B, N, 3)` int64, and their lengths, `(B,)`."""

    ids: list[str]
    lyrics: Lyrics
    notes: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, examples: Sequence[MelodyExample]) -> MelodyBatch:
        """Examples, padded on the right."""
        sources = [example.source for example in examples]
        lengths = torch.tensor([len(example.notes) for example in examples])
        notes = _padded([example.notes for example in examples])
        return cls([source.id for source in sources], Lyrics.of(sources), notes, lengths)

    @property
    def num_tokens(self) -> int:
        """Notes without padding."""
        return int(self.lengths.sum())

    @property
    def real(self) -> Tensor:
        """Where notes are, `(B, N)` bool."""
        return torch.arange(self.notes.shape[1], device=self.notes.device) < self.lengths.unsqueeze(1)


@dataclass(frozen=True)
class LyricsBatch(SourceBatch):
    """Lines to write melodies for; `tokens` are the letters."""

    lyrics: Lyrics = field(kw_only=True)


def _padded(rows: Sequence[Ids]) -> Tensor:
    return pad_sequence([torch.from_numpy(np.asarray(row, np.int64)) for row in rows], batch_first=True)
