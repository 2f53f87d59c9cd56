"""Encoding on a Ray cluster: latents come back in the order of the input, and are those of one process."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch

from latent.data.latent_shards import Latents
from s2s.cluster.pool import ClusterOptions, Do, in_order, run_windows
from s2s.ranks import choose_device

Item = TypeVar("Item")


Encode = Callable[[Sequence[Any]], Iterator[tuple[Any, Latents]]]
"""Encodes items, in their order."""


class Open(Protocol):
    """Makes what encodes on a device; pickled."""

    def __call__(self, device: torch.device) -> Encode: ...


def encoded_on_cluster(
    open: Open, items: Sequence[Item], window: int, cluster: ClusterOptions
) -> Iterator[tuple[Item, Latents]]:
    """The means of each item, in order; `window` items are a task of a worker. All machines must see their files.

    Raises:
        InputError: an item cannot be read, or as for `run_windows`.
    """
    node = _Node(open, tuple(items), window, cluster.device)
    numbers = range(math.ceil(len(items) / window))
    for number, means in enumerate(in_order(run_windows(node, numbers, cluster))):
        yield from zip(items[number * window : (number + 1) * window], means, strict=True)


@dataclass(frozen=True)
class _Node:
    """Makes the work of a worker, there."""

    open: Open
    items: tuple[Any, ...]
    window: int
    device: str

    def __call__(self) -> Do:
        encode = self.open(choose_device(self.device))

        def do(number: int) -> list[Latents]:
            window = self.items[number * self.window : (number + 1) * self.window]
            return [means for _, means in encode(window)]

        return do
