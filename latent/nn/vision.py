"""The encoder of pictures that pretraining learns: a Transformer over patches, all of them or those that are visible.

Axes: B pictures, C channels, S pixels a side, N patches, V visible ones, M masked ones, D width.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from latent.nn.patches import places, to_patches
from latent.nn.transformer import CausalBlock, run_blocks
from s2s.nn.attention import attend


class EncoderSizes(NamedTuple):
    """Sizes of an encoder; `hidden_size` is a multiple of 4 and of `num_heads`."""

    image_size: int
    channels: int
    patch_size: int
    hidden_size: int
    num_layers: int
    num_heads: int

    @property
    def grid_size(self) -> int:
        """Patches a side."""
        return self.image_size // self.patch_size

    @property
    def patch_pixels(self) -> int:
        """Numbers of a patch, of all its channels."""
        return self.channels * self.patch_size**2


class PatchLayers(nn.Module):
    """Transformer layers in which all rows see each other, and a last normalization."""

    def __init__(self, hidden_size: int, num_layers: int, num_heads: int) -> None:
        super().__init__()
        width = 4 * hidden_size * 2 // 3
        self.layers = nn.ModuleList(
            CausalBlock(hidden_size, num_heads, num_heads, width, norm_eps=1e-6, qkv_bias=False, dropout=0.0)
            for _ in range(num_layers)
        )
        self.norm = nn.RMSNorm(hidden_size, 1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """Rows `(B, T, D)` to the same shape."""
        unturned = torch.zeros(1, x.shape[1], device=x.device)  # a table says where rows are, no rotation
        return self.norm(run_blocks(self.layers, x, unturned, 1.0, lambda layer: attend))  # type: ignore[no-any-return, arg-type]


class VisionEncoder(nn.Module):
    """Pictures to features of their patches. Masked patches are read as one learned vector, or left out.

    Args:
        reads_masks: Whether it has that vector.
    """

    places: Tensor

    def __init__(self, sizes: EncoderSizes, reads_masks: bool = False) -> None:
        super().__init__()
        self.sizes = sizes
        self.mask_vector = nn.Parameter(torch.randn(sizes.hidden_size) * 0.02) if reads_masks else None
        self.register_buffer("places", places(sizes.grid_size, sizes.hidden_size), persistent=False)
        self.embed = nn.Linear(sizes.patch_pixels, sizes.hidden_size)
        self.layers = PatchLayers(sizes.hidden_size, sizes.num_layers, sizes.num_heads)

    def forward(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """Features `(B, N, D)` of pictures `(B, C, S, S)`; `mask` `(B, N)` says which patches are hidden."""
        rows = self.embed(to_patches(images, self.sizes.patch_size))
        if mask is not None and self.mask_vector is not None:
            rows = torch.where(mask.unsqueeze(-1), self.mask_vector, rows)
        return self.layers(rows + self.places)  # type: ignore[no-any-return]

    def visible(self, images: Tensor, mask: Tensor) -> Tensor:
        """Features `(B, V, D)` of the patches that are not masked, from these alone; each picture has as many."""
        rows = self.embed(to_patches(images, self.sizes.patch_size)) + self.places
        return self.layers(rows[~mask].view(len(images), -1, rows.shape[-1]))  # type: ignore[no-any-return]


def patches_to_predict(images: Tensor, mask: Tensor, patch_size: int, normalize: bool) -> Tensor:
    """The pixels `(M, P)` of masked patches; normalized, each patch has mean 0 and variance 1.

    Source: MAE (arXiv 2111.06377), section 3: normalized pixels make better features.
    """
    patches = to_patches(images, patch_size)[mask]
    if not normalize:
        return patches
    return (patches - patches.mean(-1, keepdim=True)) / (patches.var(-1, keepdim=True) + 1e-6).sqrt()
