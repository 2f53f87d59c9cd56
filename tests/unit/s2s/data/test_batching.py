"""Batches keep their promises for any lengths: every index once, within the budget, and the same ones every time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.data.batching import BatchSampler
from s2s.errors import ConfigError

one_block = st.lists(st.integers(1, 50), min_size=1, max_size=60)
two_blocks = st.lists(st.tuples(st.integers(1, 40), st.integers(2, 20)), min_size=1, max_size=60)


def padded_size(lengths, batch):
    blocks = np.asarray(lengths).reshape(len(lengths), -1)[batch]
    return len(batch) * int(blocks.max(axis=0).sum())


@given(one_block | two_blocks, st.integers(60, 200), st.integers(0, 3), st.booleans())
def test_an_epoch_has_every_index_once_within_the_budget(lengths, max_tokens, epoch, shuffle):
    batches = BatchSampler(lengths, max_tokens, seed=7, shuffle=shuffle).epoch(epoch)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert all(padded_size(lengths, batch) <= max_tokens for batch in batches)
    assert all(batches)


@given(one_block, st.integers(1, 5))
def test_no_batch_exceeds_the_number_of_sentences(lengths, max_sentences):
    batches = BatchSampler(lengths, 500, max_sentences=max_sentences).epoch(0)
    assert max(len(batch) for batch in batches) <= max_sentences


def test_seed_and_epoch_alone_fix_the_order():
    lengths = np.random.default_rng(0).integers(1, 40, size=(300, 2))
    first, second = (BatchSampler(lengths, 400, seed=3) for _ in range(2))
    first.epoch(0)
    assert first.epoch(1) == second.epoch(1)
    assert first.epoch(1) != first.epoch(2)
    assert first.epoch(1) != BatchSampler(lengths, 400, seed=4).epoch(1)


def test_batch_mates_change_from_epoch_to_epoch():
    lengths = np.random.default_rng(0).integers(20, 60, size=(400, 2))
    sampler = BatchSampler(lengths, 1000, seed=3)
    first, second = ({frozenset(batch) for batch in sampler.epoch(epoch)} for epoch in (0, 1))
    assert len(first & second) < len(first) / 10


def test_without_shuffling_all_epochs_are_alike_and_short_sources_come_first():
    lengths = [[9, 1], [2, 5], [5, 1], [2, 2]]
    sampler = BatchSampler(lengths, 20, shuffle=False)
    assert sampler.epoch(0) == sampler.epoch(5)
    assert set(sampler.epoch(0)[0]) == {1, 3}


def test_batches_are_as_large_as_the_budget_allows():
    assert [len(batch) for batch in BatchSampler([10] * 7, 30).epoch(0)].count(3) == 2


def test_padding_stays_small_when_blocks_vary_independently():
    generator = np.random.default_rng(0)
    lengths = np.stack([generator.integers(20, 400, 20000), generator.integers(4, 60, 20000)], axis=1)
    batches = BatchSampler(lengths, 4096, seed=1).epoch(0)
    padded = sum(padded_size(lengths, batch) for batch in batches)
    assert lengths.sum() / padded > 0.9


def test_an_example_larger_than_the_budget_is_an_error():
    with pytest.raises(ConfigError, match=r"max_tokens must be at least 12, .*longest example \(number 1\), found 11"):
        BatchSampler([[3, 4], [8, 4]], 11)


def test_no_examples_make_no_batches():
    assert BatchSampler([], 10).epoch(0) == []
