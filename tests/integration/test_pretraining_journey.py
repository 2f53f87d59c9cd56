"""From shards to a generator: pretraining, going on where it stopped, fine-tuning from the run, export and back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers
from typer.testing import CliRunner

from s2s.config import write_tree
from s2s.data.shards import Header, Rows, fingerprint, shard_name, write_shard
from s2s.data.tokenizer import Tokenizer
from s2s.errors import ConfigError, InputError
from s2s.run import load_run, parse_config, train_run
from unilatent.cli import build_app

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[PSEUDO]", *"abcdefghijklmnopqrstuvwx"]
PSEUDO = 5
MODEL = {"hidden_size": 32, "num_layers": 2, "num_heads": 2, "intermediate_size": 64, "max_positions": 24}
QUIET = {"hidden_dropout": 0.0, "attention_dropout": 0.0, "initializer_range": 0.2}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts of one letter each."""
    folder: Path = tmp_path_factory.mktemp("corpus")
    (folder / "tokenizer").mkdir()
    backend = Backend(models.WordLevel({word: id for id, word in enumerate(WORDS)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.add_special_tokens(WORDS[:6])
    backend.save(str(folder / "tokenizer" / "tokenizer.json"))
    tokenizer = Tokenizer.load(folder / "tokenizer")
    header = Header(24, tokenizer.vocab_size, fingerprint(tokenizer), 0)
    generator = np.random.default_rng(0)
    for split, count in (("train", 96), ("valid", 8)):
        rows = []
        for length in generator.integers(14, 22, count):
            letters = np.full(length, generator.integers(6, len(WORDS)))
            rows.append(np.array([2, *letters[:8], 3, *letters[8:], 3]))
        lengths = np.array([len(row) for row in rows])
        splits = np.full(count, 10)
        write_shard(folder / shard_name(split, 0, 1), Rows(np.concatenate(rows), lengths, splits), header)
    return folder


def pretrain(corpus: Path, run: Path, steps: int, **task: Any) -> Path:
    mixture = task.get("name") == "unilm_v1"
    criterion = {"name": "cross_entropy", "label_smoothing": 0} if mixture else {"name": "pseudo_masked_lm"}
    tree = {
        "task": {"name": "pseudo_masked_lm", "data": str(corpus), **task},
        "model": {**MODEL, **QUIET, "num_segments": 6 if mixture else 2, "relative_buckets": 0 if mixture else 8},
        "criterion": criterion,
        "optim": {"lr": 1e-2, "warmup_steps": 5},
        "train": {"max_steps": steps, "max_sentences": 12, "validate_every": 6, "keep_last": 2, "log_every": 1},
    }
    train_run(parse_config(tree), run)
    return run


def log(run: Path, split: str) -> list[dict[str, float]]:
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [record for record in records if record["split"] == split]


@pytest.fixture(scope="module")
def pretrained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pretrain(corpus, tmp_path_factory.mktemp("runs") / "pmlm", 48, pseudo_token="[PSEUDO]")


def test_both_losses_fall_and_are_logged_with_their_accuracies(pretrained: Path) -> None:
    valid = log(pretrained, "valid")
    for name in ("autoencoding", "partially_autoregressive"):
        assert valid[-1][name] < 0.8 * valid[0][name]
        assert 0 <= valid[-1][f"{name}_accuracy"] <= 1
    assert valid[-1]["partially_autoregressive_accuracy"] > 0.3


def test_a_run_that_was_interrupted_ends_in_the_same_weights(corpus: Path, tmp_path: Path) -> None:
    run = pretrain(corpus, tmp_path / "run", 10)
    whole = (run / "model.safetensors").read_bytes()
    losses = [record["partially_autoregressive"] for record in log(run, "train")]
    shutil.rmtree(run / "checkpoints" / "step-000010")
    pretrain(corpus, run, 10)
    assert (run / "model.safetensors").read_bytes() == whole
    assert [record["partially_autoregressive"] for record in log(run, "train")][-1] == losses[-1]


def test_a_run_may_begin_with_the_frequencies_of_its_tokens(corpus: Path, tmp_path: Path) -> None:
    tree: dict[str, Any] = {
        "task": {"name": "pseudo_masked_lm", "data": str(corpus)},
        "model": {**MODEL, "frequency_bias": True},
        "criterion": {"name": "pseudo_masked_lm"},
        "optim": {"warmup_steps": 1},  # whose first update has rate 0
        "train": {"max_steps": 1, "max_sentences": 12},
    }
    train_run(parse_config(tree), tmp_path / "run")
    expected = load_file(tmp_path / "run" / "model.safetensors")["head.bias"].exp()
    assert expected.sum() == pytest.approx(1, abs=1e-5)
    assert expected[:6].max() < 0.001 < expected[6:].min()

    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"src": "a", "tgt": "b"}\n')
    tree["task"] = {"train": str(pairs), "tokenizer": str(corpus / "tokenizer"), "max_source": 16, "max_target": 6}
    del tree["criterion"]
    with pytest.raises(ConfigError, match=r"model\.frequency_bias: needs a task of pretraining"):
        train_run(parse_config(tree), tmp_path / "other")


def test_the_mixture_of_unilm_v1_trains(corpus: Path, tmp_path: Path) -> None:
    run = pretrain(corpus, tmp_path / "run", 30, name="unilm_v1")
    assert log(run, "valid")[-1]["loss"] < 0.9 * log(run, "valid")[0]["loss"]


@pytest.fixture(scope="module")
def electra(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pretrain_electra(corpus, tmp_path_factory.mktemp("runs") / "electra", 144)


def electra_tree(corpus: Path, steps: int, **criterion: Any) -> dict[str, Any]:
    return {
        "task": {"name": "replaced_token_detection", "data": str(corpus)},
        "model": {**MODEL, **QUIET, "relative_buckets": 8, "generator": {"hidden_size": 16, "num_heads": 2}},
        "criterion": criterion,
        "optim": {"lr": 1e-2, "warmup_steps": 5},
        "train": {"max_steps": steps, "max_sentences": 12, "validate_every": 6, "keep_last": 2, "log_every": 1},
    }


def pretrain_electra(corpus: Path, run: Path, steps: int, **criterion: Any) -> Path:
    train_run(parse_config(electra_tree(corpus, steps, **criterion)), run)
    return run


def test_electras_generator_and_discriminator_learn(electra: Path) -> None:
    records = log(electra, "valid")
    last = {name: float(np.mean([record[name] for record in records[-5:]])) for name in records[0].keys() - {"split"}}
    assert last["generator"] < 0.5 * records[0]["generator"]
    assert last["discriminator"] < 0.7 * records[0]["discriminator"]
    assert last["masked_accuracy"] > last["correct_draws"] + 0.05, "it finds some of what was replaced"
    assert last["correct_draws"] < last["generator_accuracy"], "words that are easy to detect are seldom drawn"
    assert last["hardness_correlation"] > 0.2
    assert 0 < last["effective_draws"] < 1


@pytest.mark.parametrize("sampling", ["hardness", "generator"])
def test_an_electra_that_was_interrupted_ends_in_the_same_bytes(corpus: Path, tmp_path: Path, sampling: str) -> None:
    run = pretrain_electra(corpus, tmp_path / "run", 10, sampling=sampling)
    files = [run / "model.safetensors", run / "checkpoints" / "step-000010" / "training.safetensors"]
    whole, records = [file.read_bytes() for file in files], log(run, "train")[-1]
    shutil.rmtree(run / "checkpoints" / "step-000010")
    torch.manual_seed(99)
    pretrain_electra(corpus, run, 10, sampling=sampling)
    assert [file.read_bytes() for file in files] == whole
    again = log(run, "train")[-1]
    assert len(log(run, "train")) == 10
    times = ("seconds", "tokens_per_s", "wait")
    assert {k: v for k, v in again.items() if k not in times} == {k: v for k, v in records.items() if k not in times}


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_ranks_train_an_electra_as_one_process_does(corpus: Path, tmp_path: Path, parallel: str) -> None:
    """The encoders share embeddings, and the generator has a head of its own; draws follow the batch, not the rank."""
    tree = electra_tree(corpus, 8)
    tree["train"] |= {"max_sentences": 6, "parallel": parallel, "device": "cpu", "workers": 0}
    write_tree(tree, tmp_path / "electra.yaml")
    for name in ("one", "two"):
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"] if name == "two" else []
        command = [sys.executable, *launcher, "-m", "unilatent", "train", "electra.yaml", "--output", name]
        command += [f"train.accumulate={1 if launcher else 2}"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
    for split, count in (("train", 8), ("valid", 2)):
        one, two = (log(tmp_path / name, split) for name in ("one", "two"))
        assert len(one) == count
        for loss in ("generator", "discriminator", "hardness"):
            assert [record[loss] for record in two] == pytest.approx([record[loss] for record in one], abs=1e-4), loss


def test_finetuning_takes_over_the_discriminators_encoder_and_generates(electra: Path, tmp_path: Path) -> None:
    run = finetune(electra, tmp_path / "one", 1, warmup_steps=1)  # whose first update has rate 0
    before, after = (load_file(folder / "model.safetensors") for folder in (electra, run))
    for name, tensor in after.items():
        assert name.startswith("head.") or torch.equal(tensor, before[f"discriminator.{name}"]), name
    run = finetune(electra, tmp_path / "run", 60)
    _, task, model, decoder = load_run(run, ["decoder.beam_size=2"])
    source = task.source({"src": "k k k k k k k k"}, "here")  # type: ignore[attr-defined]
    best = decoder(model, task.collate_sources([source]))[0][0]  # type: ignore[attr-defined]
    assert task.text(best.tokens) == "k k"  # type: ignore[attr-defined]


def finetune(pretrained: Path, run: Path, steps: int, **optim: Any) -> Path:
    pairs = run.parent / "pairs.jsonl"
    records = [{"src": " ".join(letter * 8), "tgt": " ".join(letter * 2)} for letter in WORDS[6:]]
    pairs.write_text("".join(json.dumps(record) + "\n" for record in records))
    tree = {
        "task": {"train": str(pairs), "max_source": 16, "max_target": 6, "target_mask_prob": 0},
        "model": {"init": str(pretrained)},
        "optim": {"lr": 3e-3, **optim},
        "train": {"max_steps": steps, "max_sentences": 12},
    }
    tree["task"]["valid"] = None
    train_run(parse_config(tree), run)
    return run


def test_finetuning_takes_over_weights_head_tokenizer_and_pseudo_token(pretrained: Path, tmp_path: Path) -> None:
    run = finetune(pretrained, tmp_path / "run", 1, warmup_steps=1)  # whose first update has rate 0
    before, after = (load_file(folder / "model.safetensors") for folder in (pretrained, run))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert any(name.startswith("head.") for name in before)
    assert "relative_bias.weight" in before
    config, task, model, _ = load_run(run)
    assert task.collate_sources([task.source({"src": "x"}, "here")]).feeding.mask == PSEUDO  # type: ignore[attr-defined]
    assert Tokenizer.load(run).tokens(range(len(WORDS))) == WORDS
    assert config.model.config.relative_buckets == 8
    assert model.config.vocab_size == len(WORDS)


def test_a_finetuned_run_generates(pretrained: Path, tmp_path: Path) -> None:
    run = finetune(pretrained, tmp_path / "run", 40)
    _, task, model, decoder = load_run(run, ["decoder.beam_size=2"])
    source = task.source({"src": "k k k k k k k k"}, "here")  # type: ignore[attr-defined]
    best = decoder(model, task.collate_sources([source]))[0][0]  # type: ignore[attr-defined]
    assert task.text(best.tokens) == "k k"  # type: ignore[attr-defined]


def test_a_pretrained_run_is_exported_and_read_back_but_not_decoded(pretrained: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(build_app(), ["convert", str(pretrained), str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    run = finetune(tmp_path / "out", tmp_path / "run", 1, warmup_steps=1)
    before, after = (load_file(folder / "model.safetensors") for folder in (pretrained, run))
    assert all(torch.equal(before[name], after[name]) for name in before)
    task = load_run(run)[1]
    assert task.collate_sources([task.source({"src": "x"}, "here")]).feeding.mask == PSEUDO  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="its task, 'pseudo_masked_lm', generates no text"):
        load_run(pretrained)


def test_continuing_with_another_vocabulary_is_refused(corpus: Path, pretrained: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(corpus / "tokenizer", added_tokens=["[P]"])
    tokenizer.save(tmp_path)
    tree = {
        "task": {"name": "pseudo_masked_lm", "data": str(corpus), "tokenizer": str(tmp_path)},
        "model": {"init": str(pretrained)},
        "criterion": {"name": "pseudo_masked_lm"},
        "train": {"max_steps": 1},
    }
    with pytest.raises(ConfigError, match=r"model.vocab_size: the tokenizer has 31 tokens, .* has 30"):
        train_run(parse_config(tree), tmp_path / "run")
