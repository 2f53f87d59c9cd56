"""The diffusion head: a small network that denoises one latent, given the hidden state that stands before it.

Rows do not see each other. Whatever depends on the condition and the diffusion step alone is a `Modulation`; a sampler
computes those of all its steps at once, before it starts, and then runs only the body (`denoise`) step by step.
"""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Modulation(NamedTuple):
    """What a layer does with the condition; each `(..., H)`. The norm's own weight is part of `scale`."""

    shift: Tensor
    scale: Tensor
    gate: Tensor | None


class HeadBlock(nn.Module):
    """A gated feed-forward network with adaptive normalisation, added to its input.

    Args:
        hidden_size: Width H of the rows.
        intermediate_size: Width inside the feed-forward network.
        norm_eps: Added to the mean square.
    """

    def __init__(self, hidden_size: int, intermediate_size: int, norm_eps: float) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(hidden_size, norm_eps)
        self.adaptation = nn.Linear(hidden_size, 3 * hidden_size, bias=False)
        self.gate_up = nn.Linear(hidden_size, 2 * intermediate_size, bias=False)
        self.down = nn.Linear(intermediate_size, hidden_size, bias=False)

    def modulation(self, signal: Tensor) -> Modulation:
        """From the activated condition `(..., H)`."""
        shift, scale, gate = self.adaptation(signal).chunk(3, dim=-1)
        return Modulation(shift, self.norm.weight * (1 + scale), gate)

    def forward(self, x: Tensor, modulation: Modulation) -> Tensor:
        """Rows `(..., H)` give the same shape."""
        assert modulation.gate is not None
        normed = F.rms_norm(x, x.shape[-1:], eps=self.norm.eps)
        gate, up = self.gate_up(torch.addcmul(modulation.shift, normed, modulation.scale)).chunk(2, dim=-1)
        return torch.addcmul(x, modulation.gate, self.down(F.silu(gate) * up))


class DiffusionHead(nn.Module):
    """Predicts velocity, noise or clean latent of noisy latents, row by row.

    Args:
        latent_size: Numbers per latent, L.
        condition_size: Width of the conditions.
        hidden_size: Width H inside.
        intermediate_size: Width inside the feed-forward networks.
        num_layers: Feed-forward networks.
        norm_eps: Added to the mean square in every norm.
        wave_size: Waves, sines and cosines together, that tell the diffusion step; even.
        wave_period: The longest wave has about this many steps, divided by 2π.
        input_bias: Whether the projection of the noisy latent has a bias.

    Source: VibeVoice's diffusion head (LatentLM specification, section 3.1); LatentLM's has an input bias.
    """

    def __init__(
        self,
        latent_size: int,
        condition_size: int,
        hidden_size: int,
        intermediate_size: int,
        num_layers: int,
        norm_eps: float = 1e-5,
        wave_size: int = 256,
        wave_period: float = 10_000,
        input_bias: bool = False,
    ) -> None:
        super().__init__()
        self.noisy = nn.Linear(latent_size, hidden_size, bias=input_bias)
        self.condition = nn.Linear(condition_size, hidden_size, bias=False)
        self.time_in = nn.Linear(wave_size, hidden_size, bias=False)
        self.time_out = nn.Linear(hidden_size, hidden_size, bias=False)
        self.blocks = nn.ModuleList(HeadBlock(hidden_size, intermediate_size, norm_eps) for _ in range(num_layers))
        self.adaptation = nn.Linear(hidden_size, 2 * hidden_size, bias=False)
        self.out = nn.Linear(hidden_size, latent_size, bias=False)
        self.latent_size, self.norm_eps = latent_size, norm_eps
        self.wave_size, self.wave_period = wave_size, wave_period
        self._reset_parameters()

    def forward(self, noisy: Tensor, steps: Tensor, condition: Tensor) -> Tensor:
        """
        Args:
            noisy: Noisy latents, `(N, L)`.
            steps: Their diffusion steps, 0 to 999, `(N,)`.
            condition: Hidden states before them, `(N, condition_size)`.

        Returns:
            What the head was trained to predict, `(N, L)`.
        """
        return self.denoise(noisy, self.modulations(self.embed_steps(steps), condition))

    def embed_steps(self, steps: Tensor) -> Tensor:
        """Embeddings `(..., H)` of diffusion steps `(...)`."""
        waves = step_waves(steps, self.wave_size, self.wave_period).to(self.time_in.weight.dtype)
        return self.time_out(F.silu(self.time_in(waves)))  # type: ignore[no-any-return]

    def modulations(self, step_embeddings: Tensor, condition: Tensor) -> list[Modulation]:
        """What all layers do with the conditions.

        Args:
            step_embeddings: From `embed_steps`, broadcastable to the conditions' leading axes.
            condition: `(..., condition_size)`.

        Returns:
            One modulation per block, then that of the output; tensors `(..., H)`.
        """
        signal = F.silu(self.condition(condition) + step_embeddings)
        shift, scale = self.adaptation(signal).chunk(2, dim=-1)
        modulations = [block.modulation(signal) for block in self._blocks()]
        return [*modulations, Modulation(shift, 1 + scale, None)]

    def denoise(self, noisy: Tensor, modulations: list[Modulation]) -> Tensor:
        """The output for noisy latents `(..., L)` whose conditions went into `modulations`."""
        x = self.noisy(noisy)
        for block, modulation in zip(self._blocks(), modulations, strict=False):
            x = block(x, modulation)
        last = modulations[-1]
        normed = F.rms_norm(x, x.shape[-1:], eps=self.norm_eps)
        return self.out(torch.addcmul(last.shift, normed, last.scale))  # type: ignore[no-any-return]

    def _blocks(self) -> list[HeadBlock]:
        return cast(list[HeadBlock], list(self.blocks))

    def _reset_parameters(self) -> None:
        """At first no layer changes anything and the output is zero."""
        for block in self._blocks():
            nn.init.zeros_(block.adaptation.weight)
        nn.init.zeros_(self.adaptation.weight)
        nn.init.zeros_(self.out.weight)
        nn.init.normal_(self.time_in.weight, std=0.02)
        nn.init.normal_(self.time_out.weight, std=0.02)


def step_waves(steps: Tensor, size: int, period: float) -> Tensor:
    """Cosines, then sines, of diffusion steps `(...)` at `size / 2` frequencies, `(..., size)` float32."""
    half = size // 2
    frequencies = torch.exp(torch.arange(half, device=steps.device, dtype=torch.float32) * (-math.log(period) / half))
    angles = steps.float().unsqueeze(-1) * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)
