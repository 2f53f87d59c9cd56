"""Pictures and grids of latents as rows of patches, and where each patch is.

Axes: B pictures, C channels, S pixels or places a side, p pixels of a patch a side, n = S / p patches a side.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def to_patches(images: Tensor, patch_size: int) -> Tensor:
    """Pictures `(B, C, S, S)` as patches in raster order, `(B, n², C · p²)`, each as (channel, row, column)."""
    count, channels, size, _ = images.shape
    side = size // patch_size
    rows = images.reshape(count, channels, side, patch_size, side, patch_size)
    return rows.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def from_patches(patches: Tensor, patch_size: int) -> Tensor:
    """The pictures `(B, C, S, S)` of patches `(B, n², C · p²)`."""
    side = _side(patches)
    rows = patches.reshape(len(patches), side, side, -1, patch_size, patch_size)
    return rows.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)


class Patches(nn.Module):
    """Pictures as rows of vectors: one learned vector for the whole, then one for each patch, by one convolution.

    Source: ViT (arXiv 2010.11929); `torchscale: VisionEmbedding`.
    """

    def __init__(self, patch_size: int, channels: int, width: int, std: float) -> None:
        super().__init__()
        self.whole = nn.Parameter(torch.empty(width).normal_(std=std))
        self.project = nn.Conv2d(channels, width, patch_size, patch_size)
        nn.init.normal_(self.project.weight, std=std)
        nn.init.zeros_(self.project.bias)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        """Vectors `(B, 1 + n², width)` of pictures `(B, C, S, S)`."""
        patches = in_raster_order(self.project(images))
        return torch.cat([self.whole.expand(len(images), 1, -1), patches], dim=1)


def in_raster_order(grid: Tensor) -> Tensor:
    """A grid `(B, L, S, S)` as the latents of its places, row by row, `(B, S², L)`."""
    return grid.flatten(2).transpose(1, 2)


def as_grid(latents: Tensor) -> Tensor:
    """The grid `(B, L, S, S)` of latents in raster order, `(B, S², L)`."""
    side = _side(latents)
    return latents.transpose(1, 2).reshape(len(latents), -1, side, side)


def places(side: int, size: int) -> Tensor:
    """A fixed table of `side`² places in raster order, `(side², size)`: sines, then cosines, of column, then of row.

    `size` is a multiple of 4. Source: MAE (arXiv 2111.06377), which `microsoft/unilm: LatentLM/models/DiT.py` uses.
    """
    quarter = size // 4
    frequencies = 10_000 ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    angles = torch.arange(side, dtype=torch.float64).unsqueeze(1) * frequencies  # (side, size / 4)
    waves = torch.cat([angles.sin(), angles.cos()], dim=1).float()
    return torch.cat([waves.repeat(side, 1), waves.repeat_interleave(side, 0)], dim=1)


def _side(rows: Tensor) -> int:
    side = math.isqrt(rows.shape[1])
    assert side * side == rows.shape[1], "pictures are squares"
    return side
