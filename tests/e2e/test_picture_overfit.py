"""Four shapes with names: a tokenizer, a LatentLM and a DiT learn them by heart, and draw what they are asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import unilatent
from tiny_pictures import NAMES, shape, write_pictures

from latent.images.files import read_image

OPTIM = {"optim.lr": 4e-3, "optim.warmup_steps": 10, "train.device": "cpu", "train.validate_every": 1000}
TOKENIZER = {
    "task.image_size": 8,
    "task.channels": 1,
    "model.widths": [16, 24],
    "model.latent_size": 4,
    "train.max_steps": 200,
    "train.max_tokens": 2048,
    "train.ema_decay": None,
}
SIZES = {"model.hidden_size": 32, "model.num_layers": 2, "model.num_heads": 2, "model.intermediate_size": 64}
DRAWING = {**SIZES, "train.max_tokens": 600, "train.ema_decay": 0.98}
MODELS = {
    "text_to_image_small": {"model.num_kv_heads": 2, "model.head.num_layers": 2, "train.max_steps": 400},
    "text_to_image_dit": {"train.max_steps": 400},
}


def train(name: str, run: str, options: dict[str, object]) -> None:
    given = (f"{key}={'null' if value is None else value}" for key, value in (OPTIM | options).items())
    unilatent("train", name, "--output", run, *given)


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    pictures = write_pictures(folder, copies=8)
    lists = {"task.train": pictures, "task.valid": pictures}
    train("sigma_vae_images", str(folder / "tokenizer"), TOKENIZER | lists)
    unilatent("encode", pictures, "--tokenizer", folder / "tokenizer", "--output", folder / "store")
    return folder / "store"


@pytest.mark.parametrize("name", MODELS)
def test_each_shape_is_drawn_when_its_name_is_given(latents: Path, tmp_path: Path, name: str) -> None:
    run, store = tmp_path / "run", {"task.train": latents, "task.valid": latents}
    train(name, str(run), DRAWING | MODELS[name] | store)
    (tmp_path / "names.txt").write_text("".join(f"{name}\n" for name in NAMES for _ in range(2)))
    unilatent("draw", run, "--input", tmp_path / "names.txt", "--output", tmp_path / "drawn", "--device", "cpu")
    errors = []
    for index in range(2 * len(NAMES)):
        drawn = read_image(tmp_path / f"drawn/{index + 1}.png", 8, 1)
        nearest = min(NAMES, key=lambda name: float(np.square(drawn - shape(name)).mean()))
        assert nearest == NAMES[index // 2]
        errors.append(np.square(drawn - shape(nearest)).mean())
    assert np.mean(errors) < 0.3, "of pixels from -1 to 1; shapes differ from each other by 1 and more"
