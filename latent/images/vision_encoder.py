"""A frozen network of transformers that sees pictures: a ViT, CLIP, DINOv2, ConvNeXt, EfficientNet.

Its last features are a picture of fewer and wider pixels, `(D, n, n)`, and take the place of the real ones.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError

from latent.images.files import Pixels
from s2s.checkpoint import CONFIG
from s2s.config import read_tree, section_of
from s2s.errors import ConfigError, InputError, reason_of, shown
from s2s.json_files import read_object
from s2s.models.pretrained import files_of, locate

VISION_ENCODER = "vision_encoder"
"""The folder of a run that holds a copy of its encoder."""
PREPROCESSOR = "preprocessor_config.json"
_BESIDE_WEIGHTS = ("config.json", PREPROCESSOR, "model.safetensors.index.json", "pytorch_model.bin.index.json")
_OPTION = f"task.{VISION_ENCODER}"
_DAMAGED = (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError, SafetensorError)


class VisionEncoder:
    """The network of a folder, or of a name on the hub.

    Args:
        image_size: Pixels of its pictures, a side.

    Attributes:
        grid_size: The `n` of its features.
        channels: Their `D`.

    Raises:
        ConfigError: it sees no pictures, or none of this size.
        InputError: it cannot be read, or fetched.
    """

    def __init__(self, name: str, image_size: int) -> None:
        self._folder = locate(name)
        self._network = _network(self._folder)
        self._mean, self._std = _normalization(self._folder)
        try:
            self.channels, self.grid_size, _ = self(np.zeros((3, image_size, image_size), np.float32)).shape
        except _DAMAGED as error:
            problem = f"task.image_size: {name} sees no pictures of {image_size} pixels a side: {reason_of(error)}"
            raise ConfigError(problem) from error

    @torch.inference_mode()
    def __call__(self, pixels: Pixels) -> Pixels:
        """The features `(D, n, n)` of pixels `(3, S, S)` from -1 to 1; alone, so that no other picture changes them."""
        shown = ((torch.from_numpy(pixels) + 1) / 2 - self._mean) / self._std
        found: torch.Tensor = self._network(pixel_values=shown.unsqueeze(0)).last_hidden_state[0]
        if found.dim() == 2:  # patches in raster order, after vectors for the whole
            side = math.isqrt(len(found))
            found = found[len(found) - side * side :].T.reshape(-1, side, side)
        features: Pixels = found.contiguous().numpy()
        return features

    @property
    def files(self) -> list[Path]:
        """The files that it was read from."""
        named = (self._folder / name for name in _BESIDE_WEIGHTS)
        return [*filter(Path.exists, named), *files_of(str(self._folder))]

    def save(self, run: Path) -> None:
        """Copy it into a run, which then needs the original no more."""
        copy = run / VISION_ENCODER
        copy.mkdir(parents=True, exist_ok=True)
        for file in self.files:
            shutil.copyfile(file, copy / file.name)


def copy_in_run(name: str, run: Path) -> Path | None:
    """The copy in a run that was trained with this encoder, if there is one."""
    copy = run / VISION_ENCODER
    if not copy.is_dir() or not (run / CONFIG).is_file():
        return None
    task = section_of(read_tree(run / CONFIG), "task", run / CONFIG)
    return copy if task.get(VISION_ENCODER) == name else None


def _network(folder: Path) -> Any:
    import transformers

    transformers.logging.disable_progress_bar()
    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        config = getattr(config, "vision_config", config)  # of two towers, as CLIP has, the one that sees
        network = transformers.AutoModel.from_pretrained(folder, config=config, local_files_only=True)
    except _DAMAGED as error:
        raise InputError(f"{folder}: cannot be read as a vision encoder: {reason_of(error)}") from error
    if network.main_input_name != "pixel_values":
        raise ConfigError(f"{_OPTION}: must see pictures, found {config.model_type} in {folder}")
    return network.float().eval().requires_grad_(False)


def _normalization(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of colors from 0 to 1 that the network expects, `(3, 1, 1)` each."""
    file = folder / PREPROCESSOR
    found = read_object(file) if file.exists() else {}
    mean, std = (_of_colors(found, name, file) for name in ("image_mean", "image_std"))
    if (std <= 0).any():
        raise InputError(f"{file}: 'image_std' must be positive, found {found['image_std']}")
    return mean, std


def _of_colors(settings: Mapping[str, Any], name: str, file: Path) -> torch.Tensor:
    values = settings.get(name, [0.5] * 3)
    numbers = [one for one in values if isinstance(one, int | float)] if isinstance(values, list) else []
    if len(numbers) != 3 or not np.isfinite(numbers).all():
        raise InputError(f"{file}: {name!r} must be three numbers, found {shown(values)}")
    return torch.tensor(numbers, dtype=torch.float32).view(3, 1, 1)
