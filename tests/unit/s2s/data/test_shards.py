"""Shards of pretraining text: what is written is what is read, and a damaged folder is told in one line."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import models

from s2s.data.shards import Header, Rows, Shards, fingerprint, shard_name, write_shard
from s2s.data.tokenizer import Tokenizer
from s2s.errors import InputError

SPECIAL = {"pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}


def tokenizer_of(*words: str) -> Tokenizer:
    vocabulary = {token: id for id, token in enumerate([*SPECIAL.values(), "[UNK]", *words])}
    return Tokenizer(Backend(models.WordLevel(vocabulary, unk_token="[UNK]")), SPECIAL, "toy")


TOKENIZER = tokenizer_of(*"abcdefg")
HEADER = Header(max_length=9, vocabulary=12, fingerprint=fingerprint(TOKENIZER), seed=3)


def rows_of(*examples: tuple[list[int], int]) -> Rows:
    values = np.concatenate([ids for ids, _ in examples]) if examples else np.empty(0, np.int64)
    return Rows(values, np.array([len(ids) for ids, _ in examples]), np.array([split for _, split in examples]))


FIRST = [([1, 5, 6, 2, 7, 2], 4), ([1, 8, 2], 3)]
SECOND = [([1, 9, 9, 9, 9, 2, 10, 11, 2], 6)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index, examples in enumerate([FIRST, SECOND]):
        write_shard(tmp_path / shard_name("train", index, 2), rows_of(*examples), HEADER)
    return tmp_path


def test_examples_come_back_in_the_order_of_the_shards(folder: Path) -> None:
    shards = Shards.read(folder, "train", TOKENIZER)
    assert [(shards[i].ids.tolist(), shards[i].split) for i in range(len(shards))] == FIRST + SECOND
    assert shards.lengths.tolist() == [6, 3, 9]
    assert shards.max_length == 9


def test_examples_read_when_asked_for_are_those_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s2s.data.shards._ROW_GROUP", 3)
    monkeypatch.setattr("s2s.data.shards._GROUPS_KEPT", 2)
    generator = np.random.default_rng(0)
    for index, count in enumerate([7, 0, 5]):
        made = [(generator.integers(0, 12, n).tolist(), 1) for n in generator.integers(1, 10, count)]
        write_shard(tmp_path / shard_name("train", index, 3), rows_of(*made), HEADER)
    kept, stored = (Shards.read(tmp_path, "train", TOKENIZER, most) for most in (999, 0))
    order = generator.permutation(np.repeat(np.arange(12), 4))
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda i: stored[i].ids.tolist(), order))
    assert found == [kept[i].ids.tolist() for i in order]
    assert stored.lengths.tolist() == kept.lengths.tolist()
    assert [stored.id(i) for i in (6, 7)] == ["train-00000-of-00003.parquet:6", "train-00002-of-00003.parquet:0"]


def test_an_example_is_named_by_shard_and_row(folder: Path) -> None:
    shards = Shards.read(folder, "train", TOKENIZER)
    assert [shards.id(i) for i in range(3)] == [
        "train-00000-of-00002.parquet:0",
        "train-00000-of-00002.parquet:1",
        "train-00001-of-00002.parquet:0",
    ]


def test_same_rows_give_same_bytes(folder: Path) -> None:
    write_shard(folder / "again", rows_of(*FIRST), HEADER)
    assert (folder / "again").read_bytes() == (folder / shard_name("train", 0, 2)).read_bytes()


def test_a_shard_without_rows_is_read(tmp_path: Path) -> None:
    write_shard(tmp_path / shard_name("valid", 0, 1), rows_of(), HEADER)
    assert len(Shards.read(tmp_path, "valid", TOKENIZER)) == 0


def test_tokens_added_behind_the_vocabulary_leave_the_ids_right(folder: Path) -> None:
    assert len(Shards.read(folder, "train", tokenizer_of(*"abcdefg", "[PSEUDO]"))) == 3


@pytest.mark.parametrize("words", ["abcdef", "abcdegf"])
def test_shards_of_another_vocabulary_are_refused(folder: Path, words: str) -> None:
    with pytest.raises(
        InputError, match=r"train-00000-of-00002\.parquet: its ids are of another vocabulary .*12 items"
    ):
        Shards.read(folder, "train", tokenizer_of(*words))


def test_a_shard_cut_in_half_is_named(folder: Path) -> None:
    path = folder / shard_name("train", 1, 2)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"train-00001-of-00002\.parquet: not a whole Parquet file: .+") as failure:
        Shards.read(folder, "train", TOKENIZER)
    assert "\n" not in str(failure.value)


def test_a_shard_with_damaged_data_is_named(folder: Path) -> None:
    path = folder / shard_name("train", 1, 2)
    content = bytearray(path.read_bytes())
    content[4:40] = bytes(36)
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"train-00001-of-00002\.parquet: not a whole Parquet file"):
        Shards.read(folder, "train", TOKENIZER)


def test_a_missing_shard_is_named(folder: Path) -> None:
    (folder / shard_name("train", 0, 2)).unlink()
    with pytest.raises(InputError, match=r"train-00000-of-00002\.parquet: missing"):
        Shards.read(folder, "train", TOKENIZER)


def test_shards_of_two_preparations_do_not_mix(folder: Path) -> None:
    write_shard(folder / shard_name("train", 0, 3), rows_of(*FIRST), HEADER)
    with pytest.raises(InputError, match=r"train-0000\d-of-0000\d\.parquet: (missing|not one of)"):
        Shards.read(folder, "train", TOKENIZER)


def test_a_folder_without_shards_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected a folder of `unilatent prepare pretrain-text`, found no valid-"):
        Shards.read(tmp_path, "valid", TOKENIZER)
    with pytest.raises(InputError, match="no such folder"):
        Shards.read(tmp_path / "nowhere", "valid", TOKENIZER)


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (([1, 12, 2], 3), "ids outside the vocabulary of 12 items"),
        (([1, -1, 2], 3), "ids outside the vocabulary"),
        (([1] * 10, 10), "rows of more than 9 slots"),
        (([1, 5, 2], 4), "a split outside the row"),
        (([1, 5, 2], 0), "a split outside the row"),
    ],
)
def test_rows_that_no_preparation_writes_are_refused(
    tmp_path: Path, example: tuple[list[int], int], message: str
) -> None:
    write_shard(tmp_path / shard_name("train", 0, 1), rows_of(example), HEADER)
    with pytest.raises(InputError, match=message):
        Shards.read(tmp_path, "train", TOKENIZER)


def test_another_parquet_file_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": ["a"]}), tmp_path / shard_name("train", 0, 1))
    with pytest.raises(
        InputError, match=r"expected a shard of `unilatent prepare pretrain-text`.*found 'columns text'"
    ):
        Shards.read(tmp_path, "train", TOKENIZER)
