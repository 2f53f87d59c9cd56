"""The network of a DiT: a diffusion head whose latent is a whole picture, so that all its patches see each other."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latent.nn.diffusion_head import DiffusionHead, HeadBlock
from latent.nn.patches import as_grid, from_patches, in_raster_order, places, to_patches
from s2s.nn.attention import attend
from s2s.nn.linear import Linear


class AttentionBlock(nn.Module):
    """Attention of patches to each other with adaptive normalization, added to its input."""

    def __init__(self, hidden_size: int, num_heads: int, norm_eps: float) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(hidden_size, norm_eps)
        self.adaptation = Linear(hidden_size, 3 * hidden_size, bias=False)
        self.qkv = Linear(hidden_size, 3 * hidden_size, bias=False)
        self.out = Linear(hidden_size, hidden_size, bias=False)
        self._num_heads = num_heads

    def forward(self, x: Tensor, shift: Tensor, scale: Tensor, gate: Tensor) -> Tensor:
        """Rows `(B, T, H)` to the same shape; `scale` includes the weight of the norm, as in `HeadBlock`."""
        normed = F.rms_norm(x, x.shape[-1:], eps=self.norm.eps)
        heads = self.qkv(torch.addcmul(shift, normed, scale)).unflatten(-1, (3, self._num_heads, -1))
        seen = attend(*heads.permute(2, 0, 3, 1, 4))  # of (B, heads, T, D)
        return torch.addcmul(x, gate, self.out(seen.transpose(1, 2).flatten(2)))


class PictureDenoiser(DiffusionHead):
    """Predicts velocity, noise or clean latents of whole noisy pictures, `(B, N · L)`: N latents in raster order.

    The condition `(B, H)` is added to the embedding of the step as it is. Sizes as in `DiT.Config`.

    Source: DiT (arXiv 2212.09748), adaLN-Zero; `microsoft/unilm: LatentLM/models/DiT.py`.
    """

    places: Tensor

    def __init__(
        self,
        latent_size: int,
        grid_size: int,
        patch_size: int,
        hidden_size: int,
        intermediate_size: int,
        num_layers: int,
        num_heads: int,
        norm_eps: float,
    ) -> None:
        size = latent_size * patch_size**2
        super().__init__(size, 1, hidden_size, intermediate_size, num_layers=0, norm_eps=norm_eps, input_bias=True)
        self.condition = nn.Identity()
        for _ in range(num_layers):
            self.blocks.append(AttentionBlock(hidden_size, num_heads, norm_eps))
            self.blocks.append(HeadBlock(hidden_size, intermediate_size, norm_eps))
        self.register_buffer("places", places(grid_size // patch_size, hidden_size), persistent=False)
        self._patch_size, self._places = patch_size, grid_size**2
        self._reset_parameters()

    def embed_patches(self, noisy: Tensor) -> Tensor:
        """Patches of noisy pictures `(B, N · L)`, `(B, T, H)`, without their places."""
        grid = as_grid(noisy.reshape(len(noisy), self._places, -1))
        return self.noisy(to_patches(grid, self._patch_size))  # type: ignore[no-any-return]

    def denoise(self, noisy: Tensor, modulations: Tensor) -> Tensor:
        """The prediction for noisy pictures `(B, N · L)` with their modulations `(B, M · H)`."""
        x = self.embed_patches(noisy) + self.places.to(noisy.dtype)
        patches = self._through_blocks(x, modulations.unsqueeze(-2))
        return in_raster_order(from_patches(patches, self._patch_size)).flatten(1)
