"""Packing removes padding: linear layers compute only real rows, attention works at the length of each sentence.

A batch of `(B, L)` slots becomes N rows, sentence after sentence, in the order of the slots. The first slots of a
sentence are its context, which sees only itself; so it attends alone, and only the other rows attend to both.

Three implementations of attention over packed rows give the same numbers: `RaggedAttention` calls the kernel once per
sentence, at the true length (best on a CPU, where a call is cheap); `PaddedAttention` pads and calls it once (for a
GPU); `s2s.nn.flex.FlexAttention` neither pads nor stores a mask (for a GPU, optional).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from s2s.nn.attention import Attention, Bias, attend, settled
from s2s.nn.flex import FlexAttention, Slots
from s2s.nn.masks import additive, visible
from s2s.nn.positions import Relative


class KnownExtents(Protocol):
    """What a batch knows of its rows, see `s2s.data.batch.Extents`."""

    @property
    def slots(self) -> Tensor: ...
    @property
    def lengths(self) -> list[int]: ...
    @property
    def context_lengths(self) -> list[int]: ...


class Packing:
    """The rows of a batch. Waits for the device twice, for slots and lengths, unless it is told them.

    Args:
        steps: Step codes, `(B, L)`.
        positions: Position ids, `(B, L)`.
        real: Slots that are not padding, `(B, L)` bool.
        context: The number of columns of context, which come first.
        extents: Slots and lengths, if they are known on the host.
    """

    def __init__(
        self, steps: Tensor, positions: Tensor, real: Tensor, context: int, extents: KnownExtents | None = None
    ) -> None:
        self.padded_steps = steps
        self.padded_positions = positions
        self.context = context
        if extents is None:
            counts = torch.stack([real.sum(1), real[:, :context].sum(1)], dim=1).tolist()
            self.slots = real.flatten().nonzero().squeeze(1)  # (N,) flat slot of each row
            self.lengths: list[int] = [length for length, _ in counts]
            self.context_lengths: list[int] = [length for _, length in counts]
        else:
            self.slots, self.lengths, self.context_lengths = extents.slots, extents.lengths, extents.context_lengths
        self.steps = self.pack(steps)
        self.positions = self.pack(positions)
        self.starts: list[int] = [0, *accumulate(self.lengths)]

    def pack(self, padded: Tensor) -> Tensor:
        """Rows `(N, ...)` of a padded tensor `(B, L, ...)`."""
        return padded.flatten(0, 1).index_select(0, self.slots)

    def pad(self, rows: Tensor) -> Tensor:
        """The padded tensor `(B, L, ...)` of rows `(N, ...)`, zero at padding."""
        shape = self.padded_steps.shape
        padded = rows.new_zeros(shape.numel(), *rows.shape[1:]).index_copy(0, self.slots, rows)
        return padded.view(*shape, *rows.shape[1:])

    def rows_at(self, slots: Tensor) -> Tensor:
        """The rows of flat slots `(M,)`, which must not be padding."""
        return torch.searchsorted(self.slots, slots)

    def attention(
        self, relative: Relative | None = None, reading: Tensor | None = None, flex: bool = False
    ) -> Attention:
        """Attention for the device, or FlexAttention; queries are the rows `reading`, ascending, or all."""
        if flex:
            return FlexAttention(self._described(reading), self._described(None), relative)
        kind = RaggedAttention if self.slots.device.type == "cpu" else PaddedAttention
        return kind(self, relative, reading)

    def _described(self, rows: Tensor | None) -> Slots:
        sentences = torch.div(self.slots, self.padded_steps.shape[1], rounding_mode="floor")
        everything = Slots(sentences, self.steps, self.positions)
        return everything if rows is None else Slots(*(values[rows] for values in everything))


class RaggedAttention:
    """Attention over packed rows, with one call per sentence and kind of row; `reading` as in `Packing.attention`."""

    def __init__(self, packing: Packing, relative: Relative | None, reading: Tensor | None) -> None:
        steps, positions = packing.steps, packing.positions
        asking_steps, asking_positions = (steps, positions) if reading is None else (steps[reading], positions[reading])
        self._lengths = packing.lengths
        self._spans: list[_Span] = []
        done = 0
        for sentence, queries, keys in _spans(packing, reading):
            asking = slice(done, done + queries)
            answering = slice(packing.starts[sentence], packing.starts[sentence] + keys)
            bias: Bias = None
            if keys > packing.context_lengths[sentence]:
                bias = additive(visible(asking_steps[asking], steps[answering]), torch.float32)[None, None]
            if relative is not None:
                bias = relative.onto(bias, asking_positions[None, asking], positions[None, answering])
            self._spans.append(_Span(sentence, queries, keys, bias))
            done += queries

    def __call__(self, queries: Tensor, keys_values: Tensor, dropout: float, vectors: Any = None) -> Tensor:
        """See `s2s.nn.attention`, for `vectors` too; `(M, H, D)` and `(N, 2, H, D)` give `(M, H, D)`."""
        if not self._spans:
            return queries
        # The backward pass of a split is one concatenation, unlike that of slices.
        answering = torch.split(keys_values, self._lengths)
        outputs = []
        for asked, span in zip(torch.split(queries, [span.queries for span in self._spans]), self._spans, strict=True):
            keys, values = answering[span.sentence][: span.keys].permute(1, 2, 0, 3).unsqueeze(1)  # (1, H, n, D)
            asked = asked.transpose(0, 1)[None]
            output = attend(asked, keys, values, settled(span.bias, asked, keys, vectors), dropout)
            outputs.append(output[0].transpose(0, 1))
        return torch.cat(outputs)


class _Span(NamedTuple):
    """Consecutive queries of a sentence that attend to its first `keys` rows."""

    sentence: int
    queries: int
    keys: int
    bias: Bias


def _spans(packing: Packing, reading: Tensor | None) -> Iterator[tuple[int, int, int]]:
    """Sentence, number of queries and of keys, in the order of the queries."""
    lengths = enumerate(zip(packing.context_lengths, packing.lengths, strict=True))
    if reading is None:
        every = ((sentence, part) for sentence, (own, whole) in lengths for part in ((own, own), (whole - own, whole)))
        return ((sentence, queries, keys) for sentence, (queries, keys) in every if queries)
    edges = torch.searchsorted(reading.contiguous(), torch.tensor(packing.starts, device=reading.device)).tolist()
    counts = [stop - start for start, stop in pairwise(edges)]
    return ((sentence, counts[sentence], whole) for sentence, (_, whole) in lengths if counts[sentence])


class PaddedAttention:
    """Attention over packed rows, padded to one or two calls for the whole batch."""

    def __init__(self, packing: Packing, relative: Relative | None, reading: Tensor | None) -> None:
        steps, positions = packing.padded_steps, packing.padded_positions
        asking = packing.slots if reading is None else packing.slots[reading]
        empty = steps.numel()  # a slot after all others, for padding
        grids = _column_grids(packing) if reading is None else [(_sentence_grid(asking, steps, empty), steps.shape[1])]
        rows = _numbered(asking, empty)
        self._keys = _numbered(packing.slots, empty)[:empty].view_as(steps)
        self._order = _numbered(torch.cat([slots.flatten() for slots, _ in grids]), empty)[asking]
        self._groups: list[tuple[Tensor, int, Bias]] = []
        for slots, stop in grids:
            bias: Bias = additive(visible(_at(steps, slots), steps[:, :stop]), torch.float32).unsqueeze(1)
            if relative is not None:
                bias = relative.onto(bias, _at(positions, slots), positions[:, :stop])
            self._groups.append((rows[slots], stop, bias))

    def __call__(self, queries: Tensor, keys_values: Tensor, dropout: float, vectors: Any = None) -> Tensor:
        """See `s2s.nn.attention`, for `vectors` too; `(M, H, D)` and `(N, 2, H, D)` give `(M, H, D)`."""
        keys, values = _gather(keys_values, self._keys).permute(2, 0, 3, 1, 4)  # (B, H, L, D)
        outputs = []
        for rows, stop, bias in self._groups:
            asked = _gather(queries, rows).transpose(1, 2)  # (B, H, Q, D)
            seen = settled(bias, asked, keys[:, :, :stop], vectors)
            output = attend(asked, keys[:, :, :stop], values[:, :, :stop], seen, dropout)
            outputs.append(output.transpose(1, 2).flatten(0, 1))
        return torch.cat(outputs).index_select(0, self._order)


def _column_grids(packing: Packing) -> list[tuple[Tensor, int]]:
    """All slots as grids `(B, columns)`, the context's columns and the others, each with the columns it may see."""
    slots = torch.arange(packing.padded_steps.numel(), device=packing.slots.device).view_as(packing.padded_steps)
    grids = [(slots[:, : packing.context], packing.context), (slots[:, packing.context :], slots.shape[1])]
    return [(grid, stop) for grid, stop in grids if grid.numel()]


def _sentence_grid(slots: Tensor, steps: Tensor, empty: int) -> Tensor:
    """Ascending flat slots `(M,)` as a grid `(B, most of a sentence)`, filled up with `empty`; waits for the device."""
    sentence = torch.div(slots, steps.shape[1], rounding_mode="floor")
    counts = torch.zeros_like(steps[:, 0]).index_add(0, sentence, torch.ones_like(sentence))
    rank = torch.arange(len(slots), device=slots.device) - (counts.cumsum(0) - counts)[sentence]
    grid = slots.new_full((steps.shape[0], int(counts.max())), empty)
    return grid.index_put((sentence, rank), slots)


def _numbered(slots: Tensor, empty: int) -> Tensor:
    """The index in `slots` of each flat slot up to `empty`, 0 if it is not in there."""
    numbers = torch.zeros(empty + 1, dtype=torch.int64, device=slots.device)
    return numbers.index_copy(0, slots, torch.arange(len(slots), device=slots.device))


def _at(padded: Tensor, slots: Tensor) -> Tensor:
    """Values of `(B, L)` at flat slots, 0 beyond the last."""
    return torch.cat([padded.flatten(), padded.new_zeros(1)])[slots]


def _gather(rows: Tensor, index: Tensor) -> Tensor:
    """Rows `(N, ...)` at an index `(B, L)`, as `(B, L, ...)`."""
    return rows.index_select(0, index.flatten()).view(*index.shape, *rows.shape[1:])
