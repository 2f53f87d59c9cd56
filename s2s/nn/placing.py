"""What positions do to the attention of each layer: nothing, a shared bias, rotations and windows, or distances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Protocol

from torch import Tensor

from s2s.nn.attention import Attention, SelfAttention
from s2s.nn.cache import Pool
from s2s.nn.disentangled import Distances, DistanceVectors, disentangling
from s2s.nn.packing import Packing
from s2s.nn.positions import Relative, Window
from s2s.nn.rotary import Rotation, rotate_keys, rotation, turning
from s2s.nn.static_cache import StaticPool

Layers = Callable[[int], Attention]
"""The attention of each layer, counted from 0."""


class Placing(Protocol):
    """Attention of a model's layers, with positions."""

    def attention(self, packing: Packing, reading: Tensor | None = None, flex: bool = False) -> Layers:
        """Over the rows of a batch; the arguments are those of `Packing.attention`."""

    def stored(self, packing: Packing) -> Callable[[int, Tensor], Tensor]:
        """A function from a layer, and its keys and values for the rows of a batch, to what the cache holds."""

    def feed(self, pool: Pool | StaticPool, positions: Tensor, remembered: int, steps_left: int) -> Layers:
        """Over a cache, with more tokens; the arguments are those of `Pool.feed`."""


@dataclass(frozen=True)
class Shared:
    """All layers attend alike, with the same relative bias or with none."""

    relative: Relative | None

    def attention(self, packing: Packing, reading: Tensor | None = None, flex: bool = False) -> Layers:
        """See `Placing`, also for the methods that follow."""
        attention = packing.attention(self.relative, reading, flex)
        return lambda layer: attention

    def stored(self, packing: Packing) -> Callable[[int, Tensor], Tensor]:
        return lambda layer, keys_values: keys_values

    def feed(self, pool: Pool | StaticPool, positions: Tensor, remembered: int, steps_left: int) -> Layers:
        return pool.feed(positions, remembered, steps_left, self.relative)


@dataclass(frozen=True)
class Rotary:
    """Queries and keys are turned by their positions; some layers see everything, the others what is near.

    Args:
        head_dim: The width of a head.
        base: Base of the rotations in layers that see everything.
        local_base: The same in the others.
        window: What those see, if there is a limit.
        global_every: Of how many layers, from the first on, one sees everything.

    Source: ModernBERT (arXiv 2412.13663), section 2.1.
    """

    head_dim: int
    base: float
    local_base: float
    window: Window | None
    global_every: int

    def attention(self, packing: Packing, reading: Tensor | None = None, flex: bool = False) -> Layers:
        """See `Placing`, also for the methods that follow. Each kind of layer is prepared when the first one comes."""
        asking = packing.positions if reading is None else packing.positions[reading]

        @cache
        def of_kind(base: float, window: Window | None) -> Attention:
            asked, answered = (rotation(places, self.head_dim, base) for places in (asking, packing.positions))
            return turning(packing.attention(window, reading, flex), asked, answered)

        return lambda layer: of_kind(*self._kind(layer))

    def stored(self, packing: Packing) -> Callable[[int, Tensor], Tensor]:
        @cache
        def turn(base: float) -> Rotation:
            return rotation(packing.positions, self.head_dim, base)

        return lambda layer, keys_values: rotate_keys(keys_values, turn(self._kind(layer)[0]))

    def feed(self, pool: Pool | StaticPool, positions: Tensor, remembered: int, steps_left: int) -> Layers:
        fed = pool.feed(positions, remembered, steps_left)

        @cache
        def of_kind(base: float, window: Window | None) -> Layers:
            turn, under = rotation(fed.rows, self.head_dim, base), fed.under(window)
            return lambda layer: turning(under(layer), turn, turn)

        return lambda layer: of_kind(*self._kind(layer))(layer)

    def _kind(self, layer: int) -> tuple[float, Window | None]:
        return (self.base, None) if layer % self.global_every == 0 else (self.local_base, self.window)


@dataclass(frozen=True)
class Disentangled:
    """Words ask for distances and distances for words, with vectors that each layer makes of one table.

    Args:
        distances: The table.
        layers: The attention of each layer.
    """

    distances: Distances
    layers: Sequence[SelfAttention]
    _vectors: dict[int, DistanceVectors] = field(default_factory=dict)

    def attention(self, packing: Packing, reading: Tensor | None = None, flex: bool = False) -> Layers:
        """See `Placing`, also for the methods that follow."""
        attention = packing.attention(self.distances, reading, flex)
        return lambda layer: disentangling(attention, self._of(layer))

    def stored(self, packing: Packing) -> Callable[[int, Tensor], Tensor]:
        return lambda layer, keys_values: keys_values

    def feed(self, pool: Pool | StaticPool, positions: Tensor, remembered: int, steps_left: int) -> Layers:
        fed = pool.feed(positions, remembered, steps_left, self.distances)
        return lambda layer: disentangling(fed(layer), self._of(layer))

    def _of(self, layer: int) -> DistanceVectors:
        """Made once for a batch, and for a whole generation."""
        if layer not in self._vectors:
            self._vectors[layer] = self.distances.vectors(self.layers[layer])
        return self._vectors[layer]
