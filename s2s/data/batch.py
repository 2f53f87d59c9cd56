"""What passes from tasks to models: packed tokens with step codes for training, sources for generation."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2s.devices import sent

Ids = NDArray[np.int64]

PADDING = 2**31 - 1
"""Step code of a padding slot: as a key it is later than every step, so no real slot ever sees it."""

M = TypeVar("M", bound="Movable")
T = TypeVar("T", bound="TokenBatch")


class Batch(Protocol):
    """What the trainer needs of a batch; the rest is between a task and its criterion."""

    @property
    def ids(self) -> list[str]:
        """Record ids, for messages."""

    @property
    def num_tokens(self) -> int:
        """Tokens without padding, or the other unit in which training counts its speed."""

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""


class Movable:
    """A frozen dataclass whose tensors move together."""

    def to(self: M, device: torch.device | str) -> M:
        """The same batch with every tensor on `device`, also those of batches inside it."""
        moved: dict[str, object] = {}
        for part in fields(self):  # type: ignore[arg-type]
            value = getattr(self, part.name)
            if isinstance(value, Tensor):
                moved[part.name] = sent(value, device)
            elif isinstance(value, Movable):
                moved[part.name] = value.to(device)
        return replace(self, **moved)  # type: ignore[type-var]


@dataclass(frozen=True)
class Extents(Movable):
    """Where the slots of a batch that are not padding are, counted on the host, so that nobody need ask the device.

    Args:
        slots: Their flat indices row * L + column, `(N,)` int64.
        lengths: Their number in each row.
        context_lengths: Their number in the context of each row.
    """

    slots: Tensor
    lengths: list[int]
    context_lengths: list[int]


@dataclass(frozen=True)
class TokenBatch(Movable):
    """Packed sequences whose visibility is given by one signed step code per slot (`s2s.nn.masks`).

    Args:
        ids: Record ids, for messages.
        tokens: Token ids, `(B, L)` int64; padding holds the pad id.
        positions: Position ids, `(B, L)` int64; padding holds 0.
        segments: 0 for source slots, 1 for target and pseudo slots, `(B, L)` int64. The model maps them to the rows of
            its token-type table.
        steps: Signed step codes, `(B, L)` int64; padding holds `PADDING`.
        context: The first `context` columns hold only step 0 and padding, so they never attend to the others.
        slots: Where a label is predicted, as flat indices row * L + column, `(N,)` int64.
        labels: Token ids to predict there, `(N,)` int64.
        pad_id: The pad token, which label smoothing leaves out.
        tags: Features of the context's tokens, `(B, context, F)` int64; see `s2s.data.token_features`.
        extents: Counted before a batch leaves the CPU; None where they can be counted when they are needed.
    """

    ids: list[str]
    tokens: Tensor
    positions: Tensor
    segments: Tensor
    steps: Tensor
    context: int
    slots: Tensor
    labels: Tensor
    pad_id: int
    tags: Tensor | None = field(default=None, kw_only=True)
    extents: Extents | None = field(default=None, kw_only=True)

    def to(self: T, device: torch.device | str) -> T:
        """See `Movable`."""
        leaves = torch.device(device).type != "cpu" and self.steps.device.type == "cpu"
        return Movable.to(self.counted() if leaves else self, device)

    def counted(self: T) -> T:
        """The same batch with its extents, for a batch on the CPU."""
        if self.extents is not None:
            return self
        real = self.steps != PADDING
        slots = real.flatten().nonzero().squeeze(1)
        lengths, of_context = (part.sum(1).tolist() for part in (real, real[:, : self.context]))
        return replace(self, extents=Extents(slots, lengths, of_context))

    @property
    def num_tokens(self) -> int:
        """Slots that are not padding."""
        return int((self.steps != PADDING).sum())


@dataclass(frozen=True)
class MaskedBatch(TokenBatch):
    """A batch whose labels are read at context slots (step 0) and at pseudo slots (steps below 0) only."""


@dataclass(frozen=True)
class ShiftedBatch(TokenBatch):
    """A batch of sources and targets, whose target slots hold the token before the one that is predicted there."""


@dataclass(frozen=True)
class CopyBatch(ShiftedBatch):
    """A batch whose labels may be copied from the source; see `s2s.data.copying`.

    Args:
        copies: Extended ids of the context, `(B, context)` int64; -1 at special tokens and padding.
        extended: The labels as extended ids, `(N,)` int64.
    """

    copies: Tensor = field(kw_only=True)
    extended: Tensor = field(kw_only=True)


class BatchBuilder:
    """Fills a `TokenBatch` of `context` and `width` more columns; slots are padding until they are filled."""

    def __init__(self, rows: int, context: int, width: int, pad_id: int) -> None:
        shape = (rows, context + width)
        self.arrays = {name: np.zeros(shape, np.int64) for name in ("positions", "segments")}
        self.arrays |= {"tokens": np.full(shape, pad_id, np.int64), "steps": np.full(shape, PADDING, np.int64)}
        self._context, self._width, self._pad_id = context, shape[1], pad_id
        self._predicted: list[Ids] = []
        self._labels: list[Ids] = []

    def fill(self, row: int, columns: slice | Ids, **values: Ids | int) -> None:
        """Set tokens, positions, segments and steps of some columns."""
        for name, array in self.arrays.items():
            array[row, columns] = values[name]

    def predict(self, row: int, columns: Ids, labels: Ids) -> None:
        """Predict `labels` at some columns."""
        self._predicted.append(row * self._width + columns)
        self._labels.append(labels)

    def build(self, kind: type[T], ids: list[str]) -> T:
        """The batch."""
        tables: dict[str, Any] = {name: torch.from_numpy(array) for name, array in self.arrays.items()}
        return kind(
            ids=ids,
            **tables,
            context=self._context,
            slots=torch.from_numpy(np.concatenate(self._predicted)),
            labels=torch.from_numpy(np.concatenate(self._labels)),
            pad_id=self._pad_id,
        )


@dataclass(frozen=True)
class Feeding:
    """How a model is fed while it generates, which follows from how it was trained.

    Args:
        end: The end-of-sequence token.
        start: The token fed before the first generated one (causal fine-tuning), or None.
        mask: The token fed at the place to predict (masked and pseudo-masked fine-tuning), or None.
    """

    end: int
    start: int | None = None
    mask: int | None = None

    def __post_init__(self) -> None:
        assert (self.start is None) != (self.mask is None), "exactly one of start and mask feeds the model"

    def fed(self, tokens: Tensor | None, one: Tensor) -> list[Tensor]:
        """What a step reads for each hypothesis: its latest token, its mask, or both, `(B, K)` each.

        Args:
            tokens: The latest tokens `(B, K)`, None at the first step.
            one: Any int64 tensor `(B, 1)`, for the shape and device of the first step.
        """
        if self.start is not None:
            return [torch.full_like(one, self.start) if tokens is None else tokens]
        assert self.mask is not None
        return [torch.full_like(one, self.mask)] if tokens is None else [tokens, torch.full_like(tokens, self.mask)]


@dataclass(frozen=True)
class SourceBatch(Movable):
    """Sources to generate from.

    Args:
        ids: Record ids.
        tokens: Source ids with their special tokens, `(B, S)` int64, padded on the right with the pad id.
        lengths: Lengths without padding, `(B,)` int64; generated tokens take the positions from there on.
        feeding: How the model is fed.
        prefixes: Tokens that each output must begin with, one list a sentence; empty lists force nothing.
        tags: Features of the tokens, `(B, S, F)` int64; see `s2s.data.token_features`.
        constraints: Phrases that each output must contain, as ids, a list of them for each sentence; or an empty list.
        copies: Extended ids of the tokens, `(B, S)` int64, if they can be copied; -1 at special tokens and padding.
    """

    ids: list[str]
    tokens: Tensor
    lengths: Tensor
    feeding: Feeding
    prefixes: list[list[int]]
    tags: Tensor | None = field(default=None, kw_only=True)
    constraints: list[list[list[int]]] = field(default_factory=list, kw_only=True)
    copies: Tensor | None = field(default=None, kw_only=True)

    @property
    def context(self) -> int:
        """The number of columns, from the first on, that never attend to the others."""
        return self.tokens.shape[1]

    def steps(self) -> Tensor:
        """Step codes of the slots, `(B, S)` int64; see `TokenBatch`."""
        columns = torch.arange(self.tokens.shape[1], device=self.tokens.device)
        return torch.where(columns < self.lengths.unsqueeze(1), 0, PADDING)
