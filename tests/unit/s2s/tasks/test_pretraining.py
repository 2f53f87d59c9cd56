"""Tasks of pretraining: what a batch holds, that noise is repeatable, and what is refused in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers

from s2s.config import parse_section
from s2s.data.batch import PADDING
from s2s.data.shards import Header, Rows, fingerprint, shard_name, write_shard
from s2s.data.tokenizer import Tokenizer
from s2s.errors import ConfigError, InputError
from s2s.models.unilm import UniLM
from s2s.registry import TASKS
from s2s.tasks.pseudo_masked_lm import PseudoMaskedLM
from s2s.tasks.unilm_v1 import UniLMv1

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[PSEUDO]"]
PAD, CLS, SEP, MASK, PSEUDO = 0, 2, 3, 4, 5
WORDS = [*SPECIAL, *(f"w{number}" for number in range(34))]
MAX_LENGTH = 48


def write_tokenizer(folder: Path, words: list[str], **settings: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    backend = Backend(models.WordLevel({word: id for id, word in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.add_special_tokens([word for word in words if word.startswith("[")])
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    tokenizer = Tokenizer.load(write_tokenizer(folder / "tokenizer", WORDS))
    generator = np.random.default_rng(0)
    header = Header(MAX_LENGTH, tokenizer.vocab_size, fingerprint(tokenizer), 0)
    for split, count in (("train", 9), ("valid", 3)):
        rows, splits = [], []
        for number in range(count):
            first, second = int(generator.integers(5, 20)), int(generator.integers(3, 25)) * (number > 0)
            words = generator.integers(len(SPECIAL), len(WORDS), first + second)
            tail = [*words[first:], SEP] if second else []
            rows.append(np.array([CLS, *words[:first], SEP, *tail]))
            splits.append(first + 2)
        lengths = np.array([len(row) for row in rows])
        write_shard(folder / shard_name(split, 0, 1), Rows(np.concatenate(rows), lengths, np.array(splits)), header)
    return folder


def task(corpus: Path, **options: Any) -> PseudoMaskedLM:
    return PseudoMaskedLM(parse_section(PseudoMaskedLM.Config, {"data": str(corpus), **options}, "task"))


def test_they_are_registered() -> None:
    assert TASKS["pseudo_masked_lm"] is PseudoMaskedLM
    assert TASKS["unilm_v1"] is UniLMv1


def test_a_batch_holds_the_text_and_predicts_it_twice_at_what_is_masked(corpus: Path) -> None:
    made = task(corpus, random_prob=0, keep_prob=0, pseudo_token="[PSEUDO]")
    dataset = made.dataset("train", 1)
    batch = made.collate([dataset.example(index, 0) for index in range(len(dataset))])
    shards = made.shards("train")
    for row in range(len(dataset)):
        truth, n = shards[row].ids, len(shards[row].ids)
        context, codes = batch.tokens[row, :n].numpy(), batch.steps[row, n:]
        masked = np.flatnonzero(context == MASK)
        assert (np.delete(context, masked) == np.delete(truth, masked)).all()
        true, pseudo = ((codes > 0) & (codes != PADDING)), codes < 0
        for chosen in (true, pseudo):
            assert sorted(batch.positions[row, n:][chosen].tolist()) == masked.tolist()
        assert (batch.tokens[row, n:][true].numpy() == truth[batch.positions[row, n:][true]]).all()
        assert (batch.tokens[row, n:][pseudo] == PSEUDO).all()
        assert (batch.segments[row, :n].numpy() == (np.arange(n) >= shards[row].split)).all()
    steps = batch.steps.flatten()[batch.slots]
    assert (steps == 0).sum() == (steps < 0).sum() == len(batch.labels) / 2
    assert batch.ids[0].startswith("train-00000")


def test_counts_are_those_of_the_labels_there_can_be(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = task(corpus)
    shards = made.shards("train")
    everything = [id for index in range(len(shards)) for id in shards[index].ids.tolist() if id >= len(SPECIAL)]
    assert made.token_counts().tolist() == [everything.count(id) for id in range(len(WORDS))]
    monkeypatch.setattr("s2s.tasks.pretraining._COUNTED", 2)
    assert made.token_counts().sum() == sum((shards[index].ids >= len(SPECIAL)).sum() for index in (0, 1))


@pytest.mark.parametrize("name", ["pseudo_masked_lm", "unilm_v1"])
def test_noise_depends_on_seed_epoch_and_index_alone(corpus: Path, name: str) -> None:
    def tokens(seed: int, index: int, epoch: int) -> list[int]:
        cls = TASKS[name]
        built = cls(parse_section(cls.Config, {"data": str(corpus)}, "task"))  # type: ignore[attr-defined]
        dataset = built.dataset("train", seed)
        dataset.example(0, 0)
        return list(built.collate([dataset.example(index, epoch)]).tokens[0].tolist())

    first = tokens(1, 3, 2)
    assert first == tokens(1, 3, 2)
    assert first != tokens(2, 3, 2)
    assert first != tokens(1, 3, 4)


@pytest.mark.parametrize("objective", ["both", "autoencoding", "partially_autoregressive"])
def test_lengths_are_never_less_than_what_an_example_takes(corpus: Path, objective: str) -> None:
    made = task(corpus, objective=objective)
    dataset = made.dataset("train", 1)
    for index in range(len(dataset)):
        for epoch in range(20):
            assert made.collate([dataset.example(index, epoch)]).num_tokens <= dataset.lengths[index].sum()


def test_tokens_as_factorization_mask_the_same_but_make_each_its_own_step(corpus: Path) -> None:
    blocks, tokens = (task(corpus, factorization=kind).dataset("train", 1) for kind in ("blocks", "tokens"))
    several = 0
    for epoch in range(5):
        for index in range(len(blocks)):
            one, other = blocks.example(index, epoch), tokens.example(index, epoch)
            assert (one.masked == other.masked).all()
            assert (one.tokens == other.tokens).all()
            assert sorted(other.steps) == list(range(1, len(other.steps) + 1))
            several += one.steps.max() < len(one.steps)
    assert several


def test_the_unknown_token_is_masked_only_where_there_is_nothing_else(corpus: Path) -> None:
    tokenizer = Tokenizer.load(corpus / "tokenizer")
    rows = [np.array([CLS, 1, 1, 1, SEP]), np.array([CLS, 1, 9, 1, SEP])]
    written = Rows(np.concatenate(rows), np.array([5, 5]), np.array([5, 5]))
    write_shard(corpus / shard_name("valid", 0, 1), written, Header(MAX_LENGTH, len(WORDS), fingerprint(tokenizer), 0))
    dataset = task(corpus).dataset("valid", 1)
    for epoch in range(20):
        unknown, word = dataset.example(0, epoch), dataset.example(1, epoch)
        assert set(unknown.labels) == {1}
        assert {0, 4}.isdisjoint(unknown.masked)
        assert word.labels.tolist() == [9]


def test_the_pseudo_token_is_the_mask_unless_told_and_goes_with_the_run(corpus: Path, tmp_path: Path) -> None:
    for option, expected in ((None, MASK), ("[PSEUDO]", PSEUDO)):
        made = task(corpus, pseudo_token=option)
        run = tmp_path / str(option)
        run.mkdir()
        made.save(run)
        assert Tokenizer.load(run).special.pseudo == expected
        batch = made.collate([made.dataset("train", 1).example(0, 0)])
        assert set(batch.tokens[batch.steps < 0].tolist()) == {expected}


def test_a_pseudo_token_can_be_added_to_the_vocabulary(corpus: Path) -> None:
    made = task(corpus, pseudo_token="[P]", added_tokens=["[P]"])
    assert made.model_defaults() == {"vocab_size": len(WORDS) + 1, "num_positions": MAX_LENGTH, "added_tokens": 1}
    batch = made.collate([made.dataset("train", 1).example(0, 0)])
    assert set(batch.tokens[batch.steps < 0].tolist()) == {len(WORDS)}


def test_the_mixture_keeps_the_shares_of_its_objectives(corpus: Path) -> None:
    made = UniLMv1(UniLMv1.Config(data=str(corpus)))
    dataset = made.dataset("train", 1)
    kinds = []
    for epoch in range(100):
        for index in range(1, len(dataset)):  # the first has one segment only
            batch = made.collate([dataset.example(index, epoch)])
            kinds.append(int(batch.segments.max()))
    shares = np.bincount(kinds, minlength=6) / len(kinds)
    assert shares[[1, 5, 2, 3]] == pytest.approx([1 / 3, 1 / 3, 1 / 6, 1 / 6], abs=0.05)


def test_the_mixture_needs_a_segment_table_of_six_rows(corpus: Path) -> None:
    defaults = UniLMv1(UniLMv1.Config(data=str(corpus))).model_defaults()
    with pytest.raises(ConfigError, match=r"model.num_segments: must be at least 6 \(or 0\).*found 2, 0 and 1"):
        UniLM.resolve(UniLM.Config(), defaults)
    assert UniLM.resolve(UniLM.Config(num_segments=6), defaults).num_segments == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep_prob": 0.6, "random_prob": 0.5}, "task.keep_prob and task.random_prob together must be at most 1"),
        ({"shortest_block": 4, "longest_block": 3}, r"task.longest_block: must be at least .* \(4\), found 3"),
        ({"pseudo_token": "[P]"}, r"vocabulary has no pseudo token '\[P\]'; name one .* by task.pseudo_token"),
        ({"block_prob": 1}, "task.block_prob: .*less than 1, found 1"),
        ({"objective": "ae"}, "task.objective: must be 'both', 'autoencoding' or 'partially_autoregressive'"),
        (
            {"data": "nowhere", "tokenizer": None},
            "task.data: must be a folder of .*, found no folder nowhere/tokenizer",
        ),
    ],
)
def test_options_that_cannot_be_are_refused(corpus: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        task(corpus, **options)


def test_a_tokenizer_without_mask_token_is_refused(corpus: Path, tmp_path: Path) -> None:
    folder = write_tokenizer(tmp_path / "other", [word for word in WORDS if word != "[MASK]"])
    with pytest.raises(InputError, match=r"it has no mask token \(\[MASK\] or <mask>\), which encoders need"):
        task(corpus, tokenizer=str(folder))


def test_shards_of_another_tokenizer_are_refused(corpus: Path, tmp_path: Path) -> None:
    folder = write_tokenizer(tmp_path / "other", [*SPECIAL, *(f"v{number}" for number in range(34))])
    with pytest.raises(InputError, match=r"train-00000-of-00001.parquet: its ids are of another vocabulary"):
        task(corpus, tokenizer=str(folder)).dataset("train", 1)


@pytest.mark.parametrize("part", [0.5, 0.99])
def test_a_shard_cut_off_is_refused(corpus: Path, part: float) -> None:
    path = corpus / shard_name("train", 0, 1)
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(InputError, match=r"train-00000-of-00001.parquet: not a whole Parquet file") as error:
        task(corpus).dataset("train", 1)
    assert "\n" not in str(error.value)


def test_a_missing_split_is_told(corpus: Path) -> None:
    for path in corpus.glob("valid-*"):
        path.unlink()
    with pytest.raises(InputError, match=r"found no valid-\*.parquet in it"):
        task(corpus).dataset("valid", 1)
    shutil.rmtree(corpus / "tokenizer")
    with pytest.raises(InputError, match=r"found no folder .*corpus/tokenizer"):
        task(corpus)
