"""The micro-batches of each rank and update, prepared in the background."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from s2s.data.batch import Batch
from s2s.data.batching import BatchSampler
from s2s.tasks.base import Dataset, Task

_LOOKAHEAD = 4
"""Micro-batches that each background thread may prepare ahead; they take little memory."""


@dataclass(frozen=True)
class MicroBatch:
    """One batch of an epoch.

    Args:
        batch: From the task's `collate`.
        position: Its place in the epoch, over all ranks, which seeds its forward pass.
        counts: False for a stand-in, computed with weight 0 because this rank has one batch less than the others.
    """

    batch: Batch
    position: int
    counts: bool


class DataLoader:
    """The micro-batches of one split that belong to one rank.

    An epoch is one list of batches, whatever the number of ranks. With W ranks and A micro-batches per update, update u
    uses batches `[u * W * A, (u + 1) * W * A)`; rank r takes every W-th of them, from the r-th on. So one process with
    A = 2 and two ranks with A = 1 do the same. The last update of an epoch may be smaller.

    `rank` is one of `size` ranks; `workers` is the number of background threads, 0 makes batches when they are needed.
    """

    def __init__(self, task: Task, dataset: Dataset, sampler: BatchSampler, rank: int, size: int, workers: int) -> None:
        self._task, self._sampler = task, sampler
        self.dataset = dataset
        self._rank, self._size, self._workers = rank, size, workers
        self._waited = 0.0

    def take_wait(self) -> float:
        """Seconds that `updates` waited for batches since the last call."""
        waited, self._waited = self._waited, 0.0
        return waited

    @property
    def num_batches(self) -> int:
        """Batches of an epoch, over all ranks."""
        return len(self._sampler.epoch(0))

    @property
    def padding(self) -> float:
        """Share of the slots of an epoch that hold nothing."""
        return self._sampler.padding(0)

    def largest(self) -> MicroBatch:
        """The batch with the most slots."""
        return MicroBatch(self._collate(self._sampler.largest(0), epoch=0), position=0, counts=True)

    def sample(self) -> Batch:
        """A batch of the first example alone."""
        return self._collate([0], epoch=0)

    def num_updates(self, epoch: int, position: int, accumulate: int) -> int:
        """Updates of an epoch from `position` on."""
        return -(-(len(self._sampler.epoch(epoch)) - position) // (accumulate * self._size))

    def updates(self, epoch: int, position: int, accumulate: int) -> Iterator[tuple[list[MicroBatch], tuple[int, int]]]:
        """The micro-batches of each update from `position` on, equally many on each rank, and the place after it."""
        batches = self._sampler.epoch(epoch)
        width = accumulate * self._size
        starts = range(position, len(batches), width)
        shares = [self._share(start, min(start + width, len(batches))) for start in starts]
        made = self._make([batches[place] for share in shares for place, _ in share], epoch)
        for start, share in zip(starts, shares, strict=True):
            follows = (epoch, start + width) if start + width < len(batches) else (epoch + 1, 0)
            begun = time.perf_counter()
            batches_of_update = [MicroBatch(next(made), *place) for place in share]
            self._waited += time.perf_counter() - begun
            yield batches_of_update, follows

    def _share(self, start: int, end: int) -> list[tuple[int, bool]]:
        """(position, counts) of this rank's batches among those from `start` to `end`."""
        places = (first + self._rank for first in range(start, end, self._size))
        return [(place, True) if place < end else (start, False) for place in places]

    def _make(self, batches: Sequence[list[int]], epoch: int) -> Iterator[Batch]:
        if not self._workers:
            yield from (self._collate(indices, epoch) for indices in batches)
            return
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="data_loader")
        waiting: deque[Future[Batch]] = deque()
        try:
            for indices in batches:
                waiting.append(pool.submit(self._collate, indices, epoch))
                if len(waiting) > _LOOKAHEAD * self._workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _collate(self, indices: list[int], epoch: int) -> Batch:
        return self._task.collate([self.dataset.example(index, epoch) for index in indices])
