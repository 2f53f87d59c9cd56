"""The diffusion head: a small network that denoises one latent, given the hidden state before it.

Shifts, scales and gates of all layers depend only on condition and diffusion step, so they are one product
(`modulations`). A sampler computes it for all steps at once, then runs only the body (`denoise`) step by step.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s2s.nn.linear import Linear, linear
from s2s.nn.packed import Precision, pack, pack_linears


class HeadBlock(nn.Module):
    """A gated feed-forward network with adaptive normalization, added to its input."""

    def __init__(self, hidden_size: int, intermediate_size: int, norm_eps: float) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(hidden_size, norm_eps)
        self.adaptation = Linear(hidden_size, 3 * hidden_size, bias=False)
        self.gate_up = Linear(hidden_size, 2 * intermediate_size, bias=False)
        self.down = Linear(intermediate_size, hidden_size, bias=False)

    def forward(self, x: Tensor, shift: Tensor, scale: Tensor, gate: Tensor) -> Tensor:
        """Rows `(..., H)` to the same shape; `scale` includes the weight of the norm."""
        normed = F.rms_norm(x, x.shape[-1:], eps=self.norm.eps)
        opening, up = self.gate_up(torch.addcmul(shift, normed, scale)).chunk(2, dim=-1)
        return torch.addcmul(x, gate, self.down(F.silu(opening) * up))


class DiffusionHead(nn.Module):
    """Predicts velocity, noise or clean latent of noisy latents, row by row.

    Latents have `latent_size` numbers, L; conditions are `condition_size` wide. Other sizes as in `HeadSection`.

    Source: `vibevoice-community/VibeVoice: vibevoice/modular/modular_vibevoice_diffusion_head.py`; LatentLM's has an
    input bias.
    """

    def __init__(
        self,
        latent_size: int,
        condition_size: int,
        hidden_size: int,
        intermediate_size: int,
        num_layers: int,
        norm_eps: float = 1e-5,
        timestep_size: int = 256,
        timestep_max_period: float = 10_000,
        input_bias: bool = False,
    ) -> None:
        super().__init__()
        self.noisy = Linear(latent_size, hidden_size, bias=input_bias)
        self.condition: nn.Module = Linear(condition_size, hidden_size, bias=False)
        self.time_in = Linear(timestep_size, hidden_size, bias=False)
        self.time_out = Linear(hidden_size, hidden_size, bias=False)
        self.blocks = nn.ModuleList(HeadBlock(hidden_size, intermediate_size, norm_eps) for _ in range(num_layers))
        self.adaptation = Linear(hidden_size, 2 * hidden_size, bias=False)
        self.out = Linear(hidden_size, latent_size, bias=False)
        self.latent_size, self.norm_eps = latent_size, norm_eps
        self.timestep_size, self.timestep_max_period = timestep_size, timestep_max_period
        self._packed: nn.Module | None = None
        self._reset_parameters()

    def forward(self, noisy: Tensor, steps: Tensor, condition: Tensor) -> Tensor:
        """The prediction for noisy latents `(N, L)` at steps `(N,)`, 0 to 999, and conditions `(N, condition_size)`."""
        return self.denoise(noisy, self.modulations(self.embed_steps(steps), condition))

    def embed_steps(self, steps: Tensor) -> Tensor:
        """Embeddings `(..., H)` of diffusion steps `(...)`."""
        waves = step_waves(steps, self.timestep_size, self.timestep_max_period).to(self.time_in.weight.dtype)
        return self.time_out(F.silu(self.time_in(waves)))  # type: ignore[no-any-return]

    def modulations(self, step_embeddings: Tensor, condition: Tensor) -> Tensor:
        """Shift, scale and gate of each block, then shift and scale of the output, side by side: `(..., M · H)`.

        Args:
            step_embeddings: From `embed_steps`, broadcastable to the leading axes of the conditions.
            condition: `(..., condition_size)`.
        """
        signal = F.silu(self.condition(condition) + step_embeddings)
        if self._packed is not None:
            return self._packed(signal)  # type: ignore[no-any-return]
        return linear(signal, *self._adaptations())

    def denoise(self, noisy: Tensor, modulations: Tensor) -> Tensor:
        """The prediction for noisy latents `(..., L)` with their modulations."""
        return self._through_blocks(self.noisy(noisy), modulations)

    def _through_blocks(self, x: Tensor, modulations: Tensor) -> Tensor:
        """The outputs of rows `(..., H)`, `(..., L)`."""
        *inner, shift, scale = torch.split(modulations, x.shape[-1], dim=-1)
        for index, block in enumerate(self.blocks):
            x = block(x, *inner[3 * index : 3 * index + 3])
        normed = F.rms_norm(x, x.shape[-1:], eps=self.norm_eps)
        return self.out(torch.addcmul(shift, normed, scale))  # type: ignore[no-any-return]

    def prepare(self, precision: Precision = "float32") -> None:
        """Pack the weights on a CPU, for generation only."""
        self._packed = pack(*self._adaptations(), precision)
        pack_linears(self.blocks, precision)

    def _adaptations(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the product `modulations`; (1 + scale) times the weight of a norm is one row of it."""
        weights, biases = [], []
        for block in self._blocks():
            shift, scale, gate = block.adaptation.weight.chunk(3)
            norm = block.norm.weight
            weights += [shift, scale * norm.unsqueeze(1), gate]
            biases += [torch.zeros_like(norm), norm, torch.zeros_like(norm)]
        ones = self.adaptation.weight.new_ones(len(self.adaptation.weight) // 2)
        return torch.cat([*weights, self.adaptation.weight]), torch.cat([*biases, torch.zeros_like(ones), ones])

    def _blocks(self) -> list[HeadBlock]:
        return cast(list[HeadBlock], list(self.blocks))

    def _reset_parameters(self) -> None:
        """Initially no layer changes its input, and the output is zero."""
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
