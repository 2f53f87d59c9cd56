"""Padding removed: linear layers see only the rows that hold something, attention sees each sentence at its length.

A batch of `(B, L)` slots becomes N rows, sentence after sentence, each in the order of its slots. The first slots of a
sentence are its context, which reads nothing but itself; so the context attends alone, and only the others ask both.

Two ways to attend over packed rows give the same numbers: `RaggedAttention` calls the kernel once a sentence, at the
true length (best on a CPU, where a call costs little); `PaddedAttention` pads and calls it once (best on a GPU).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

import torch
from torch import Tensor

from s2s.nn.attention import attend
from s2s.nn.masks import additive, visible
from s2s.nn.positions import RelativeBias


class Packing:
    """The rows of a batch. Asks the device for the lengths, once; everything that follows knows them.

    Args:
        steps: Step codes, `(B, L)`.
        positions: Position ids, `(B, L)`.
        real: Slots that hold something, `(B, L)` bool.
        context: The first `context` columns are context.
    """

    def __init__(self, steps: Tensor, positions: Tensor, real: Tensor, context: int) -> None:
        self.padded_steps = steps
        self.padded_positions = positions
        self.context = context
        self.slots = real.flatten().nonzero().squeeze(1)  # (N,) flat slot of each row
        self.steps = self.pack(steps)
        self.positions = self.pack(positions)
        counts = torch.stack([real.sum(1), real[:, :context].sum(1)], dim=1).tolist()
        self.lengths: list[int] = [length for length, _ in counts]
        self.context_lengths: list[int] = [length for _, length in counts]
        self.starts: list[int] = [0, *accumulate(self.lengths)]

    def pack(self, padded: Tensor) -> Tensor:
        """Rows `(N, ...)` of a padded tensor `(B, L, ...)`."""
        return padded.flatten(0, 1).index_select(0, self.slots)

    def pad(self, rows: Tensor) -> Tensor:
        """The padded tensor `(B, L, ...)` of rows `(N, ...)`, zero in between."""
        shape = self.padded_steps.shape
        padded = rows.new_zeros(shape.numel(), *rows.shape[1:]).index_copy(0, self.slots, rows)
        return padded.view(*shape, *rows.shape[1:])

    def rows_at(self, slots: Tensor) -> Tensor:
        """The rows of flat slots `(M,)`, which must hold something."""
        return torch.searchsorted(self.slots, slots)

    def attention(
        self, relative_bias: RelativeBias | None = None, reading: Tensor | None = None
    ) -> RaggedAttention | PaddedAttention:
        """What suits the device: queries are the rows `reading`, ascending, or all of them."""
        kind = RaggedAttention if self.slots.device.type == "cpu" else PaddedAttention
        return kind(self, relative_bias, reading)


class RaggedAttention:
    """Attention over packed rows, one call a sentence and kind of row.

    Args:
        packing: Where the rows are.
        relative_bias: Gives the bias of two positions, or None.
        reading: Rows that ask, `(M,)` ascending; None for all.
    """

    def __init__(self, packing: Packing, relative_bias: RelativeBias | None, reading: Tensor | None) -> None:
        asking = slice(None) if reading is None else reading
        steps, positions = packing.steps[asking], packing.positions[asking]
        self._spans: list[tuple[slice, slice, Tensor | None]] = []
        for queries, keys, mixed in _spans(packing, reading):
            if queries.start == queries.stop:
                continue
            bias = None
            if mixed:
                bias = additive(visible(steps[queries], packing.steps[keys]), torch.float32)[None, None]
            if relative_bias is not None:
                distances = relative_bias(positions[queries], packing.positions[keys])[None]
                bias = distances if bias is None else distances + bias
            self._spans.append((queries, keys, bias))

    def __call__(self, queries: Tensor, keys_values: Tensor, dropout: float) -> Tensor:
        """See `s2s.nn.attention.Attention`; `(M, H, D)` and `(N, 2, H, D)` give `(M, H, D)`."""
        queries = queries.transpose(0, 1)[None]  # (1, H, M, D)
        keys, values = keys_values.permute(1, 2, 0, 3)[:, None]  # (1, H, N, D)
        outputs = [
            attend(queries[:, :, asked], keys[:, :, answering], values[:, :, answering], bias, dropout)
            for asked, answering, bias in self._spans
        ]
        return torch.cat(outputs or [queries[:, :, :0]], dim=2)[0].transpose(0, 1)


def _spans(packing: Packing, reading: Tensor | None) -> Iterator[tuple[slice, slice, bool]]:
    """Queries that share their keys, the keys, and whether some of these are hidden from some of those."""
    if reading is None:
        for start, context, length in zip(packing.starts, packing.context_lengths, packing.lengths, strict=False):
            middle, stop = start + context, start + length
            yield slice(start, middle), slice(start, middle), False
            yield slice(middle, stop), slice(start, stop), True
        return
    edges = torch.searchsorted(reading, torch.tensor(packing.starts, device=reading.device)).tolist()
    for index, (context, length) in enumerate(zip(packing.context_lengths, packing.lengths, strict=True)):
        keys = slice(packing.starts[index], packing.starts[index + 1])
        yield slice(edges[index], edges[index + 1]), keys, context < length


class PaddedAttention:
    """Attention over packed rows, padded to one or two calls for the whole batch. Arguments as `RaggedAttention`."""

    def __init__(self, packing: Packing, relative_bias: RelativeBias | None, reading: Tensor | None) -> None:
        steps, positions = packing.padded_steps, packing.padded_positions
        asking_slots = packing.slots if reading is None else packing.slots[reading]
        empty = steps.numel()  # a slot after all others, where nothing is
        self._keys = _numbered(packing.slots, empty)[:empty].view_as(steps)
        rows = _numbered(asking_slots, empty)
        self._groups: list[tuple[Tensor, int, Tensor]] = []
        groups = _column_groups(packing) if reading is None else [_by_sentence(asking_slots, steps, empty)]
        for slots in groups:
            stop = packing.context if reading is None and slots is groups[0] else steps.shape[1]
            bias = additive(visible(_at(steps, slots), steps[:, :stop]), torch.float32).unsqueeze(1)
            if relative_bias is not None:
                bias = relative_bias(_at(positions, slots), positions[:, :stop]) + bias
            self._groups.append((rows[slots], stop, bias))
        asked = torch.cat([slots.flatten() for slots in groups])
        self._order = _numbered(asked, empty)[asking_slots]

    def __call__(self, queries: Tensor, keys_values: Tensor, dropout: float) -> Tensor:
        """See `s2s.nn.attention.Attention`; `(M, H, D)` and `(N, 2, H, D)` give `(M, H, D)`."""
        keys, values = _gather(keys_values, self._keys).permute(2, 0, 3, 1, 4)  # (B, H, L, D)
        outputs = []
        for rows, stop, bias in self._groups:
            asked = _gather(queries, rows).transpose(1, 2)  # (B, H, Q, D)
            output = attend(asked, keys[:, :, :stop], values[:, :, :stop], bias, dropout)
            outputs.append(output.transpose(1, 2).flatten(0, 1))
        return torch.cat(outputs).index_select(0, self._order)


def _column_groups(packing: Packing) -> list[Tensor]:
    """All slots as two grids: the context's columns and the others."""
    slots = torch.arange(packing.padded_steps.numel(), device=packing.slots.device).view_as(packing.padded_steps)
    return [slots[:, : packing.context], slots[:, packing.context :]]


def _by_sentence(slots: Tensor, steps: Tensor, empty: int) -> Tensor:
    """Ascending flat slots `(M,)` as a grid `(B, most of a sentence)`, filled up with `empty`."""
    sentence = torch.div(slots, steps.shape[1], rounding_mode="floor")
    counts = torch.bincount(sentence, minlength=steps.shape[0])
    rank = torch.arange(len(slots), device=slots.device) - (counts.cumsum(0) - counts)[sentence]
    grid = slots.new_full((steps.shape[0], int(counts.max())), empty)
    return grid.index_put((sentence, rank), slots)


def _numbered(slots: Tensor, empty: int) -> Tensor:
    """For each flat slot up to `empty` its place in `slots`, 0 where it has none."""
    numbers = torch.zeros(empty + 1, dtype=torch.int64, device=slots.device)
    return numbers.index_copy(0, slots, torch.arange(len(slots), device=slots.device))


def _at(padded: Tensor, slots: Tensor) -> Tensor:
    """Values of `(B, L)` at flat slots, 0 beyond the last."""
    return torch.cat([padded.flatten(), padded.new_zeros(1)])[slots]


def _gather(rows: Tensor, index: Tensor) -> Tensor:
    """Rows `(N, ...)` at an index `(B, L)`, as `(B, L, ...)`."""
    return rows.index_select(0, index.flatten()).view(*index.shape, *rows.shape[1:])
