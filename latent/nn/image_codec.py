"""The two halves of image tokenizers: small convolutional ones, and Transformers over patches with the published ends.

Axes: B pictures, C channels, S pixels a side, n places of the grid of latents a side, L numbers per latent. Latents
are rows in raster order.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latent.nn.patches import as_grid, from_patches, in_raster_order, places, to_patches
from latent.nn.transformer import CausalBlock, run_blocks
from s2s.nn.attention import attend


class ConvBlock(nn.Module):
    """Two convolutions on normalized input, added to it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(1, width) for _ in range(2))
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        nn.init.zeros_(self.convs[1].weight)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """`(B, width, H, W)` to the same shape."""
        added = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            added = conv(F.silu(norm(added)))
        return x + added


class ConvEncoder(nn.Module):
    """Pictures to the means of latents: blocks at each of several widths, and half the resolution after each but one.

    Args:
        channels: C.
        widths: Channels of the stages, finest first; a place is 2^(stages - 1) pixels a side.
        num_blocks: Blocks of each stage.
        latent_size: L.
    """

    def __init__(self, channels: int, widths: Sequence[int], num_blocks: int, latent_size: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 3, padding=1)]
        for index, width in enumerate(widths):
            layers += [ConvBlock(width) for _ in range(num_blocks)]
            if index + 1 < len(widths):
                layers.append(nn.Conv2d(width, widths[index + 1], 2, stride=2))
        layers += [nn.GroupNorm(1, widths[-1]), nn.SiLU(), nn.Conv2d(widths[-1], latent_size, 1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """`(B, C, S, S)` to `(B, n², L)`."""
        return in_raster_order(self.layers(images))


class ConvDecoder(nn.Module):
    """Latents to pictures, by the stages of a `ConvEncoder` in reverse; same arguments."""

    def __init__(self, channels: int, widths: Sequence[int], num_blocks: int, latent_size: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(latent_size, widths[-1], 1)]
        for index in reversed(range(len(widths))):
            layers += [ConvBlock(widths[index]) for _ in range(num_blocks)]
            if index:
                layers += [nn.Upsample(scale_factor=2), nn.Conv2d(widths[index], widths[index - 1], 3, padding=1)]
        layers += [nn.GroupNorm(1, widths[0]), nn.SiLU(), nn.Conv2d(widths[0], channels, 3, padding=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, latents: Tensor) -> Tensor:
        """`(B, n², L)` to `(B, C, S, S)`."""
        return self.layers(as_grid(latents))  # type: ignore[no-any-return]


class PatchTransformer(nn.Module):
    """Layers in which all places of a grid see each other; a fixed table says where each is."""

    places: Tensor

    def __init__(self, grid_size: int, hidden_size: int, num_layers: int, num_heads: int) -> None:
        super().__init__()
        self.register_buffer("places", places(grid_size, hidden_size), persistent=False)
        width = 4 * hidden_size * 2 // 3
        self.layers = nn.ModuleList(
            CausalBlock(hidden_size, num_heads, num_heads, width, norm_eps=1e-6, qkv_bias=False, dropout=0.0)
            for _ in range(num_layers)
        )
        self.norm = nn.RMSNorm(hidden_size, 1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """Rows `(B, n², hidden_size)` to the same shape."""
        unturned = torch.zeros(1, x.shape[1], device=x.device)  # the table says where, no rotation
        return self.norm(run_blocks(self.layers, x + self.places, unturned, 1.0, lambda layer: attend))  # type: ignore[no-any-return, arg-type]


class PatchEncoder(nn.Module):
    """Pictures to the means of latents, one latent for each patch.

    Args:
        channels: C.
        patch_size: Pixels of a patch a side.
        latent_size: L.
        grid_size, hidden_size, num_layers, num_heads: See `PatchTransformer`.

    Source: `microsoft/unilm: LatentLM/tokenizer_models/modeling_sigma_vae.py`; its Transformer is BEiT-3's.
    """

    def __init__(
        self,
        channels: int,
        patch_size: int,
        latent_size: int,
        grid_size: int,
        hidden_size: int,
        num_layers: int,
        num_heads: int,
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(channels * patch_size**2, hidden_size)
        self.transformer = PatchTransformer(grid_size, hidden_size, num_layers, num_heads)
        self.dense = nn.Linear(hidden_size, latent_size)
        self._patch_size = patch_size

    def forward(self, images: Tensor) -> Tensor:
        """`(B, C, S, S)` to `(B, n², L)`."""
        return self.dense(self.transformer(self.embed(to_patches(images, self._patch_size))))  # type: ignore[no-any-return]


class PatchDecoder(nn.Module):
    """Latents to pictures; arguments and source as for `PatchEncoder`."""

    def __init__(
        self,
        channels: int,
        patch_size: int,
        latent_size: int,
        grid_size: int,
        hidden_size: int,
        num_layers: int,
        num_heads: int,
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(latent_size, hidden_size)
        self.transformer = PatchTransformer(grid_size, hidden_size, num_layers, num_heads)
        self.fc1 = nn.Linear(hidden_size, hidden_size)
        self.fc2 = nn.Linear(hidden_size, channels * patch_size**2)
        self._patch_size = patch_size

    def forward(self, latents: Tensor) -> Tensor:
        """`(B, n², L)` to `(B, C, S, S)`."""
        return self.pixels(self.transformer(self.embed(latents)))

    def pixels(self, features: Tensor) -> Tensor:
        """The pictures `(B, C, S, S)` of features `(B, n², hidden_size)`."""
        return from_patches(self.fc2(torch.tanh(self.fc1(features))), self._patch_size)
