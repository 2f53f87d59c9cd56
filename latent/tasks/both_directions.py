"""Data of a model that makes latents from texts, and writes texts about latents; both from one store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from latent.data.latent_shards import Latents
from s2s.tasks.base import Dataset


class _Facts(Protocol):
    def sample(self, mean: Latents, generator: np.random.Generator) -> Latents: ...


class Store(Protocol):
    """A store of latents, of speech or of pictures."""

    @property
    def facts(self) -> _Facts:
        """How latents are drawn around their means."""

    def mean(self, index: int) -> Latents:
        """The means of one record."""


class Described(NamedTuple):
    """A record of a store that has a text: its place, id, number of latents, and the text with what ends it."""

    place: int
    id: str
    num_latents: int
    text: list[int]


class ReadDataset:
    """Latents that are read, with the texts to write. Noise depends only on the seed, the epoch and the index.

    Args:
        prompt: The tokens before a text, for a number of latents.
        example: Makes an example of an id, tokens, latents, and the place of the first token that is predicted.
    """

    def __init__(
        self,
        store: Store,
        records: Sequence[Described],
        prompt: Callable[[int], list[int]],
        example: Callable[[str, list[int], Latents, int], Any],
        seed: int,
        fixed: bool,
    ) -> None:
        self._store, self._records, self._prompt, self._example = store, records, prompt, example
        self._seed, self._fixed = seed, fixed
        lengths = [len(prompt(record.num_latents)) + len(record.text) for record in records]
        self.lengths: NDArray[np.int64] = np.array(lengths, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._records)

    def example(self, index: int, epoch: int) -> Any:
        """See `s2s.tasks.base.Dataset`."""
        record = self._records[index]
        generator = np.random.default_rng([self._seed, 0 if self._fixed else epoch, index, 1])
        latents = self._store.facts.sample(self._store.mean(record.place), generator)
        prompt = self._prompt(len(latents))
        return self._example(record.id, [*prompt, *record.text], latents, len(prompt))


class BothDirections:
    """Every record to make, then every record to write about."""

    def __init__(self, made: Dataset, read: Dataset) -> None:
        self._made, self._read = made, read
        self.lengths: NDArray[np.int64] = np.concatenate([made.lengths, read.lengths])

    def __len__(self) -> int:
        return len(self.lengths)

    def example(self, index: int, epoch: int) -> Any:
        """See `s2s.tasks.base.Dataset`."""
        beyond = index - len(self._made)
        return self._made.example(index, epoch) if beyond < 0 else self._read.example(beyond, epoch)
