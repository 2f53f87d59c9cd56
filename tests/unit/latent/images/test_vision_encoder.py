"""Vision encoders of transformers: their features are those of the network, in raster order; others are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tiny_models import write_encoder
from tiny_pictures import write_vision_encoder

from latent.images.files import Pixels
from latent.images.vision_encoder import VisionEncoder
from s2s.errors import ConfigError, InputError

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}


def picture(size: int = 32) -> Pixels:
    return np.random.default_rng(0).uniform(-1, 1, (3, size, size)).astype(np.float32)


def save(network: Any, folder: Path, **preprocessor: Any) -> Path:
    network.save_pretrained(folder)
    if preprocessor:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return folder


def test_the_features_of_a_vit_are_its_patches_without_the_class(tmp_path: Path) -> None:
    network = transformers.ViTModel(transformers.ViTConfig(**SMALL, image_size=32, patch_size=8)).eval()
    encoder = VisionEncoder(str(save(network, tmp_path, image_mean=[0.1, 0.2, 0.3], image_std=[0.5, 1, 2])), 32)
    assert (encoder.grid_size, encoder.channels) == (4, 16)
    pixels = picture()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ([0.1, 0.2, 0.3], [0.5, 1.0, 2.0]))
    with torch.inference_mode():
        hidden = network(((torch.from_numpy(pixels) + 1) / 2 - mean)[None] / std).last_hidden_state[0]
    found = encoder(pixels)
    assert torch.allclose(torch.from_numpy(found[:, 1, 2]), hidden[1 + 4 * 1 + 2], atol=1e-5)
    assert torch.allclose(torch.from_numpy(found).flatten(1).T, hidden[1:], atol=1e-5)


def test_the_features_of_convolutions_stay_where_they_are(tmp_path: Path) -> None:
    sizes = {"hidden_sizes": [8, 12, 16, 20], "depths": [1, 1, 1, 1]}
    network = transformers.ConvNextModel(transformers.ConvNextConfig(**sizes)).eval()
    encoder = VisionEncoder(str(save(network, tmp_path)), 64)
    assert (encoder.grid_size, encoder.channels) == (2, 20)
    with torch.inference_mode():
        expected = network(torch.from_numpy(picture(64))[None]).last_hidden_state[0]
    assert torch.allclose(torch.from_numpy(encoder(picture(64))), expected, atol=1e-5)


def test_of_two_towers_the_one_that_sees_is_taken(tmp_path: Path) -> None:
    text = {**SMALL, "vocab_size": 20, "max_position_embeddings": 8}
    vision = {**SMALL, "image_size": 32, "patch_size": 16}
    both = transformers.CLIPModel(transformers.CLIPConfig(text_config=text, vision_config=vision)).eval()
    encoder = VisionEncoder(str(save(both, tmp_path)), 32)
    with torch.inference_mode():
        expected = both.vision_model(torch.from_numpy(picture())[None]).last_hidden_state[0, 1:]
    assert torch.allclose(torch.from_numpy(encoder(picture())).flatten(1).T, expected, atol=1e-5)


def test_what_sees_no_pictures_is_refused(tmp_path: Path) -> None:
    write_encoder(tmp_path, ["cat"])
    with pytest.raises(ConfigError, match=r"task.vision_encoder: must see pictures, found bert in "):
        VisionEncoder(str(tmp_path), 32)


def test_pictures_of_another_size_are_refused(tmp_path: Path) -> None:
    folder = write_vision_encoder(tmp_path / "vit", size=32)
    with pytest.raises(ConfigError, match=r"task.image_size: .*vit sees no pictures of 48 pixels a side: .*32"):
        VisionEncoder(str(folder), 48)


@pytest.mark.parametrize(
    ("preprocessor", "message"),
    [
        ({"image_mean": 0.5}, "'image_mean' must be three numbers, found 0.5"),
        ({"image_mean": [0.5, 0.5]}, "'image_mean' must be three numbers, found"),
        ({"image_std": [0.5, "a", 0.5]}, "'image_std' must be three numbers, found"),
        ({"image_std": [0.5, 0, 0.5]}, r"'image_std' must be positive, found \[0.5, 0, 0.5\]"),
    ],
)
def test_colors_that_are_no_numbers_are_named(tmp_path: Path, preprocessor: dict[str, Any], message: str) -> None:
    folder = write_vision_encoder(tmp_path / "vit", size=32)
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    with pytest.raises(InputError, match=f"preprocessor_config.json: {message}"):
        VisionEncoder(str(folder), 32)


@pytest.mark.parametrize("damage", ["cut", "config", "nothing"])
def test_a_damaged_folder_is_named(tmp_path: Path, damage: str) -> None:
    folder = write_vision_encoder(tmp_path / "vit", size=32)
    weights = folder / "model.safetensors"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "config":
        (folder / "config.json").write_text("{")
    else:
        shutil.rmtree(folder)
    with pytest.raises(InputError, match="vit"):
        VisionEncoder(str(folder), 32)
