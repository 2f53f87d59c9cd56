"""Latents as a tokenizer makes them, and as a model that generates them reads them: mean 0, standard deviation 1."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class NormalizedLatents(nn.Module):
    """Statistics of the training latents, kept with the weights of the model that has them.

    Source: `microsoft/unilm: LatentLM/train_hf.py`.
    """

    latent_bias: Tensor
    latent_scale: Tensor

    def normalize(self, latents: Tensor) -> Tensor:
        """Latents of the tokenizer as this model reads and draws them: mean 0, standard deviation 1."""
        return (latents + self.latent_bias) * self.latent_scale

    def denormalize(self, latents: Tensor) -> Tensor:
        """Latents of this model as the tokenizer decodes them."""
        return latents / self.latent_scale - self.latent_bias

    def _keep_statistics(self, mean: float | None, std: float | None) -> None:
        """Register mean and standard deviation of all numbers of the latents; NaN where they are unknown."""
        if mean is None or std is None:
            mean = std = torch.nan
        self.register_buffer("latent_bias", torch.tensor(-mean))
        self.register_buffer("latent_scale", torch.tensor(1 / std))
