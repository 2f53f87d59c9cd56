"""Who gets which micro-batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.data.batching import BatchSampler
from s2s.tasks.base import Task
from s2s.training.data_loader import DataLoader, MicroBatch


class Numbers:
    lengths: Sequence[int] = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5, 6)

    def __len__(self) -> int:
        return len(self.lengths)

    def example(self, index: int, epoch: int) -> tuple[int, int]:
        if index == 12 and epoch == 9:
            raise ValueError("record 12 is bad")
        return index, epoch


class Collect(Task):
    def __init__(self) -> None:
        pass

    def dataset(self, split: str, seed: int) -> Numbers:
        return Numbers()

    def collate(self, examples: Sequence[Any]) -> list[Any]:
        return list(examples)

    def model_defaults(self) -> dict[str, int]:
        return {}

    def save(self, folder: Any) -> None:
        pass


def loader(rank: int = 0, size: int = 1, workers: int = 0) -> DataLoader:
    return DataLoader(Collect(), Numbers(), BatchSampler(Numbers.lengths, 12, seed=5), rank, size, workers)


def counted(micro_batches: list[MicroBatch]) -> list[tuple[int, Any]]:
    return [(micro.position, micro.batch) for micro in micro_batches if micro.counts]


@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 3))
def test_ranks_together_use_every_batch_of_an_epoch_once(size: int, accumulate: int, epoch: int) -> None:
    ranks = [list(loader(rank, size).updates(epoch, 0, accumulate)) for rank in range(size)]
    alone = list(loader().updates(epoch, 0, accumulate * size))
    assert len({len(updates) for updates in ranks}) == 1
    for together, (whole, place) in zip(zip(*ranks, strict=True), alone, strict=True):
        assert len({len(micro_batches) for micro_batches, _ in together}) == 1
        shared = sorted(
            (item for micro_batches, _ in together for item in counted(micro_batches)), key=lambda it: it[0]
        )
        assert shared == counted(whole)
        assert {after for _, after in together} == {place}
    assert loader(0, size).num_updates(epoch, 0, accumulate) == len(alone)


@given(st.integers(1, 3), st.integers(1, 3))
def test_updates_from_a_position_are_the_rest_of_the_epoch(size: int, accumulate: int) -> None:
    updates = list(loader(0, size).updates(1, 0, accumulate))
    for done, (_, (epoch, position)) in enumerate(updates[:-1], start=1):
        assert epoch == 1
        assert list(loader(0, size).updates(1, position, accumulate)) == updates[done:]
        assert loader(0, size).num_updates(1, position, accumulate) == len(updates) - done
    assert updates[-1][1] == (2, 0)


@pytest.mark.parametrize("workers", [1, 3])
def test_background_threads_change_nothing(workers: int) -> None:
    assert list(loader(workers=workers).updates(2, 0, 2)) == list(loader().updates(2, 0, 2))


def test_an_error_in_the_background_reaches_the_caller() -> None:
    with pytest.raises(ValueError, match="record 12 is bad"):
        list(loader(workers=2).updates(9, 0, 1))


def test_the_wait_for_batches_is_counted_once() -> None:
    chosen = loader()
    list(chosen.updates(0, 0, 1))
    assert chosen.take_wait() > 0
    assert chosen.take_wait() == 0
