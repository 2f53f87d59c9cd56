"""Models learn to draw from stores of latents; what is wrong with a store is said in one line."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_pictures import NAMES, drawing_config, tokenizer_config, write_pictures, write_store

from latent.data.image_prompts import EMPTY_PROMPT, LATENT, ImageVocabulary
from latent.data.image_store import IMAGE_TOKENIZER, ImageFacts, ImageStore
from latent.image_encoding import encode_pictures
from latent.image_tokenizer import load_image_tokenizer
from s2s.errors import ConfigError, InputError
from s2s.registry import CRITERIA
from s2s.run import build_model, build_task, resolve, train_run


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("pictures"))


def test_a_store_holds_the_means_that_its_tokenizer_gives(store: Path) -> None:
    read, tokenizer = ImageStore(store), load_image_tokenizer(store / IMAGE_TOKENIZER)
    assert [picture.text for picture in read.pictures] == list(NAMES)
    dataset = build_task(tokenizer_config(store.parent / "pictures/pictures.jsonl")).dataset("train", 0)
    for index in range(len(read)):
        mean = tokenizer.encode(torch.from_numpy(dataset.example(index, 0).pixels)[None])[0]
        np.testing.assert_allclose(read.mean(index), mean.detach(), atol=1e-6)
    means = np.stack([read.mean(index) for index in range(len(read))])
    assert math.isclose(read.facts.mean, means.mean(), abs_tol=1e-6)
    assert math.isclose(read.facts.latent_std**2, means.var() + (0.75 / 0.8) ** 2, rel_tol=1e-5)


def test_an_example_is_the_words_then_a_latent_for_each_place(store: Path) -> None:
    task = build_task(drawing_config(store, condition_dropout=0))
    dataset = task.dataset("train", 0)
    example = dataset.example(1, 0)
    assert example.tokens == [*task.vocabulary.prompt("cross"), *[LATENT] * 16]
    assert example.latents.shape == (16, 4)
    assert list(dataset.lengths) == [len(example.tokens)] * 4
    assert not np.array_equal(example.latents, dataset.example(1, 1).latents), "every epoch has its own noise"
    np.testing.assert_array_equal(example.latents, dataset.example(1, 0).latents)


def test_some_examples_have_no_words_but_never_those_of_validation(store: Path) -> None:
    task = build_task(drawing_config(store, condition_dropout=0.5))
    for split, least, most in (("train", 20, 60), ("valid", 0, 0)):
        dataset = task.dataset(split, 0)
        examples = [dataset.example(index, epoch) for index in range(4) for epoch in range(20)]
        assert least <= sum(tuple(example.tokens[:2]) == EMPTY_PROMPT for example in examples) <= most


@pytest.mark.parametrize("dit", [False, True], ids=["latent_lm", "dit"])
def test_losses_are_sums_over_latents_whatever_the_padding(store: Path, dit: bool) -> None:
    config = drawing_config(store, dit=dit)
    task = build_task(config)
    model = build_model(resolve(config, task.model_defaults())).eval()
    criterion = CRITERIA[config.criterion.name](config.criterion.config)
    dataset = task.dataset("valid", 0)
    batch = task.collate([dataset.example(index, 0) for index in range(4)])
    assert criterion.weights(batch)["latent_loss"] == 64
    torch.manual_seed(0)
    with torch.no_grad():
        loss = sum(float(criterion(model, batch)["latent_loss"]) for _ in range(50)) / 50
        squares = float(model.normalize(batch.latents).square().mean())
    # before training the output is 0, and a velocity is half noise and half latent, on average over the steps
    assert math.isclose(loss, 64 * (1 + squares) / 2, rel_tol=0.2)


@pytest.mark.parametrize("dit", [False, True], ids=["latent_lm", "dit"])
def test_a_run_brings_all_that_drawing_needs(store: Path, tmp_path: Path, dit: bool) -> None:
    assert train_run(drawing_config(store, dit=dit), tmp_path / "run").step == 2
    assert len(ImageVocabulary.load(tmp_path / "run")) == 4 + len(NAMES)
    assert ImageFacts.load(tmp_path / "run") == ImageStore(store).facts
    assert load_image_tokenizer(tmp_path / "run" / IMAGE_TOKENIZER).grid_size == 4


def test_a_dit_for_what_is_no_picture_is_refused(store: Path) -> None:
    config = drawing_config(store, dit=True)
    with pytest.raises(ConfigError, match="'dit' draws pictures and does nothing else, the task is another"):
        resolve(config, {"vocab_size": 7})


def test_a_word_that_training_lacks_is_named(store: Path, tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path)
    pictures.write_text(pictures.read_text().replace('"text": "frame"', '"text": "a squares frame"'))
    encode_pictures([pictures], store.parent / "tokenizer", tmp_path / "other")
    config = drawing_config(store, valid=str(tmp_path / "other"))
    with pytest.raises(InputError, match=r"other: 'frame0': 'text' must have words of the training texts, found 'a'"):
        build_task(config)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("store.json", '"grid_size": 4', '"grid_size": 5', "must have shape"),
        ("store.json", '"channels": 1', '"channels": 2', "channels: must be 1 or 3"),
        ("store.json", '"num_pictures": 4', '"num_pictures": 5', "has 4 pictures, store.json counts 5"),
        ("index.jsonl", "shard-00000", "../shard-00000", "'shard' must be the name of a shard"),
        ("index.jsonl", '"text": "cross"', '"text": 3', "index.jsonl:2: 'text' must be a string"),
        ("index.jsonl", '"id": "cross0"', '"id": "cross1"', "lacks it"),
    ],
)
def test_a_changed_store_is_refused(store: Path, tmp_path: Path, file: str, old: str, new: str, message: str) -> None:
    shutil.copytree(store, tmp_path / "store")
    content = (tmp_path / "store" / file).read_text()
    assert old in content
    (tmp_path / "store" / file).write_text(content.replace(old, new))
    with pytest.raises(InputError, match=message):
        ImageStore(tmp_path / "store")


def test_the_same_id_in_two_lists_and_other_runs_are_refused(store: Path, tmp_path: Path) -> None:
    pictures = store.parent / "pictures/pictures.jsonl"
    with pytest.raises(InputError, match=r"'id' 'square0' is in .*pictures\.jsonl:1 too"):
        encode_pictures([pictures, pictures], store.parent / "tokenizer", tmp_path / "store")
    with pytest.raises(InputError, match="not a run folder"):
        encode_pictures([pictures], tmp_path, tmp_path / "store")
    assert json.loads((store / "store.json").read_text())["tokenizer"].endswith("tokenizer")
