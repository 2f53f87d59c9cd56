"""The files of a store of latents: shards, and the statistics of all latents in them.

A shard holds for each id the means `(N, L)` float32 of its latents. Means are stored, not samples: every epoch draws
its own.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from s2s.durable import write_whole
from s2s.errors import InputError

Latents = NDArray[np.float32]

_SHARD = re.compile(r"shard-\d{5,}\.safetensors")
_ROWS = 100_000


class Statistics(NamedTuple):
    """Of all numbers of latents sampled around the means; `rows` counts the latents."""

    mean: float
    std: float
    rows: int


class ShardWriter:
    """Writes the means of items into a folder, one shard in memory at a time.

    Args:
        folder: It exists.
        latent_size: L; what stands after so many numbers of a row does not count in the statistics.
        rows: Approximate number of latents in a shard.
    """

    def __init__(self, folder: Path, latent_size: int, rows: int = _ROWS) -> None:
        self._folder, self._latent_size, self._rows = folder, latent_size, rows
        self._waiting: dict[str, Latents] = {}
        self._shard, self._count, self._total, self._squares = 0, 0, 0.0, 0.0

    def add(self, id: str, rows: Latents) -> str:
        """Add the rows `(N, L)` or more of an item; returns the name of its shard."""
        name = self._name()
        self._waiting[id] = np.ascontiguousarray(rows, dtype=np.float32)
        mean = rows[:, : self._latent_size]
        self._total += float(mean.sum(dtype=np.float64))
        self._squares += float(np.square(mean, dtype=np.float64).sum())
        self._count += len(mean)
        if sum(map(len, self._waiting.values())) >= self._rows:
            self._flush()
        return name

    def finish(self, sigma: float) -> Statistics | None:
        """Write the last shard. None if nothing was added; `sigma` is that of what sampling adds to the means."""
        if self._waiting:
            self._flush()
        if not self._count:
            return None
        count = self._count * self._latent_size
        mean = self._total / count
        return Statistics(mean, math.sqrt(self._squares / count - mean**2 + sigma**2), self._count)

    def _flush(self) -> None:
        write_whole(self._folder / self._name(), save(self._waiting))
        self._waiting.clear()
        self._shard += 1

    def _name(self) -> str:
        return f"shard-{self._shard:05}.safetensors"


class ShardReader:
    """The shards of a folder, whose headers are read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shapes: dict[str, dict[str, list[int]]] = {}

    def check(self, shard: str, id: str, shape: list[int], where: str) -> None:
        """Raise InputError, with the place `where` of its line, unless a shard holds an item of that shape."""
        if not _SHARD.fullmatch(shard):  # nothing outside the folder is read
            raise InputError(f"{where}: 'shard' must be the name of a shard, {_SHARD.pattern}, found {shard!r}")
        if shard not in self._shapes:
            self._shapes[shard] = _shapes(self._folder / shard)
        found = self._shapes[shard].get(id)
        if found != shape:
            state = "lacks it" if found is None else f"holds one of shape {found}"
            raise InputError(f"{where}: latents of {id!r} must have shape {shape}, {shard} {state}")

    def rows(self, shard: str, id: str) -> Latents:
        """The rows of an item; InputError if a number in them is not finite."""
        with safe_open(self._folder / shard, framework="np") as file:
            found: Latents = file.get_tensor(id)
        if not np.isfinite(found).all():
            raise InputError(f"{self._folder / shard}: {id!r} holds NaN or infinity")
        return found


def sigma_of(rule: str, std: float) -> float:
    """Standard deviation of what sampling adds to the means; see `SigmaVAE.Config`."""
    return {"gaussian": std / 0.8, "fixed": std, "none": 0.0}[rule]


def sample_around(mean: Latents, rule: str, std: float, generator: np.random.Generator) -> Latents:
    """Latents around the means `(N, L)` of one item; "gaussian" draws its scale first."""
    scale = generator.standard_normal() if rule == "gaussian" else 1.0
    noise = generator.standard_normal(mean.shape, dtype=np.float32)
    sampled: Latents = (mean + np.float32(sigma_of(rule, std) * scale) * noise).astype(np.float32)
    return sampled


def _shapes(path: Path) -> dict[str, list[int]]:
    """The shapes of the tensors of a shard; the library checks the length of the file against them."""
    if not path.is_file() or path.is_symlink():
        raise InputError(f"{path}: there is no such file; encode the corpus again")
    try:
        with safe_open(path, framework="np") as shard:
            slices = {name: shard.get_slice(name) for name in shard.keys()}  # noqa: SIM118 (not a mapping)
            wrong = [name for name, found in slices.items() if found.get_dtype() != "F32"]
            if wrong:
                raise InputError(f"{path}: {wrong[0]!r} must be float32; encode the corpus again")
            return {name: list(found.get_shape()) for name, found in slices.items()}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: damaged ({error}); encode the corpus again") from error
