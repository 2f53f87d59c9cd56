"""Comparisons with golden data, and golden tensors that may be missing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor


class MissingTap(Exception):
    """The case lacks a tensor that a check computes with."""


class Missing:
    """A tensor that the case lacks. Comparing with it is skipped; computing with it raises MissingTap."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getitem__(self, _index: Any) -> Missing:
        return self

    def _compute(self, *_arguments: Any) -> NoReturn:
        raise MissingTap(self.name)

    __getattr__ = __iter__ = __len__ = __neg__ = __eq__ = __mul__ = __rmul__ = _compute
    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def __torch_function__(cls, _function: Any, _types: Any, args: Any = (), _kwargs: Any = None) -> NoReturn:
        values = [item for value in args for item in (value if isinstance(value, list | tuple) else [value])]
        raise MissingTap(next((value.name for value in values if isinstance(value, Missing)), "a tensor"))


class Taps(dict[str, Tensor]):
    """Tensors of a case by name; a tensor that it lacks is `Missing`."""

    def __init__(self, tensors: dict[str, Tensor], prefix: str = "") -> None:
        super().__init__(tensors)
        self._prefix = prefix

    def __missing__(self, name: str) -> Missing:
        return Missing(self._prefix + name)

    def under(self, prefix: str) -> Taps:
        """The tensors whose names start with a prefix; the prefix is removed."""
        found = {name.removeprefix(prefix): value for name, value in self.items() if name.startswith(prefix)}
        return Taps(found, self._prefix + prefix)


class Figure(NamedTuple):
    """A comparison: its largest error, or the missing tensor, and the largest error allowed (0: must be equal)."""

    name: str
    error: float | Missing
    tolerance: float

    @property
    def skipped(self) -> bool:
        return isinstance(self.error, Missing)

    @property
    def passed(self) -> bool:
        return not isinstance(self.error, Missing) and self.error <= self.tolerance  # False for NaN

    @property
    def failed(self) -> bool:
        return not self.skipped and not self.passed


Check = Callable[[dict[str, Any], Taps], Iterator[Figure]]
"""The comparisons of a case, from its JSON and its tensors."""


def part(figures: Iterator[Figure]) -> Iterator[Figure]:
    """Yield comparisons until one computes with a missing tensor; then one that names this tensor."""
    try:
        yield from figures
    except MissingTap as missing:
        yield Figure("the rest of this part", Missing(str(missing)), 0)


def difference(ours: Tensor, theirs: Tensor | Missing) -> float | Missing:
    """The largest absolute difference; infinite where the shapes differ."""
    return excess(ours, theirs, 0)


def excess(ours: Tensor, theirs: Tensor | Missing, rtol: float) -> float | Missing:
    """The largest absolute difference beyond `rtol` times the golden value; infinite where the shapes differ."""
    if isinstance(theirs, Missing):
        return theirs
    if ours.shape != theirs.shape:
        return math.inf
    golden = theirs.double()
    beyond = (ours.detach().double() - golden).abs() - rtol * golden.abs()
    return float(beyond.clamp(min=0).max()) if beyond.numel() else 0.0


def exact(ours: Any, theirs: Any) -> float | Missing:
    """0 if two values are equal, else 1; a golden tensor is compared with a tensor, a list or a number."""
    if isinstance(theirs, Missing):
        return theirs
    if isinstance(theirs, Tensor) and not isinstance(ours, Tensor):
        theirs = theirs.tolist()
    return float(not torch.equal(ours, theirs) if isinstance(theirs, Tensor) else ours != theirs)
