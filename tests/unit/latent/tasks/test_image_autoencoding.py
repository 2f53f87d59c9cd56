"""An image tokenizer learns from lists of pictures; what is wrong with a list is said in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_pictures import shape, tokenizer_config, write_pictures

from latent.criteria.image_sigma_vae import ImageSigmaVAECriterion
from latent.data.pictures import read_pictures
from latent.models.image_sigma_vae import ConvImageTokenizer
from s2s.errors import InputError
from s2s.run import build_model, build_task, resolve, train_run


def test_a_batch_holds_the_pictures_as_pixels(tmp_path: Path) -> None:
    task = build_task(tokenizer_config(write_pictures(tmp_path)))
    dataset = task.dataset("train", 0)
    batch = task.collate([dataset.example(1, 0), dataset.example(3, 5)])
    assert batch.ids == ["cross0", "stripe0"]
    assert batch.num_tokens == 128
    assert list(dataset.lengths) == [64] * 4
    np.testing.assert_allclose(batch.images, [shape("cross"), shape("stripe")], atol=1e-6)


def test_losses_are_sums_over_pictures(tmp_path: Path) -> None:
    config = tokenizer_config(write_pictures(tmp_path), sigma_rule="none")
    task = build_task(config)
    model = build_model(resolve(config, task.model_defaults()))
    criterion = ImageSigmaVAECriterion(ImageSigmaVAECriterion.Config(kl_weight=2))
    dataset = task.dataset("train", 0)
    examples = [dataset.example(index, 0) for index in range(4)]
    whole = criterion(model, task.collate(examples))
    parts = [criterion(model, task.collate([example])) for example in examples]
    for name in criterion.losses:
        torch.testing.assert_close(whole[name], sum(part[name] for part in parts))
    assert criterion.weights(task.collate(examples)) == {"pixel_loss": 4, "kl_loss": 4}


VIT = {
    "name": "image_sigma_vae_vit",
    "widths": None,
    "patch_size": 4,
    "hidden_size": 8,
    "num_layers": 1,
    "num_heads": 2,
}


@pytest.mark.parametrize("model", [{}, VIT], ids=["convolutions", "patches"])
def test_a_tokenizer_trains(tmp_path: Path, model: dict[str, Any]) -> None:
    assert train_run(tokenizer_config(write_pictures(tmp_path), **model), tmp_path / "run").step == 2


def test_a_model_of_other_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.channels: must be 1 as in the task's data, found 3"):
        train_run(tokenizer_config(write_pictures(tmp_path), channels=3), tmp_path / "run")
    assert ConvImageTokenizer.Config(image_size=8, channels=1).latent_pixels == 4


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"image": "square0.png"}, "'id' is missing"),
        ({"id": "a"}, "'image' is missing"),
        ({"id": "a", "image": 3}, "'image' must be a string"),
        ({"id": "a", "image": "none.png"}, "there is no such file"),
        ({"id": "cross0", "image": "square0.png"}, "is that of an earlier line"),
        ({"id": "a", "image": "square0.png", "text": " "}, "'text' must be a string that is not blank"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: dict[str, Any], message: str) -> None:
    pictures = write_pictures(tmp_path)
    pictures.write_text(pictures.read_text() + json.dumps(line) + "\n")
    with pytest.raises(InputError, match=rf"pictures\.jsonl:5: .*{message}"):
        read_pictures(pictures)


def test_a_damaged_picture_is_named_with_its_line(tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path)
    (tmp_path / "frame0.png").write_bytes((tmp_path / "frame0.png").read_bytes()[:45])
    dataset = build_task(tokenizer_config(pictures)).dataset("train", 0)
    with pytest.raises(InputError, match=r"pictures\.jsonl:3: 'image': .*frame0\.png: truncated or damaged"):
        dataset.example(2, 0)
