"""Noise schedules: how much of the clean latent and how much noise there is at each of the diffusion steps.

At step t a noisy latent is x_t = α_t · x_0 + σ_t · ε with α² + σ² = 1. A network may predict the noise ε, the clean
latent x_0, or the velocity v = α ε - σ x_0; each of the three follows from any other and x_t.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

NUM_TRAIN_STEPS = 1000

ScheduleName = Literal["cosine", "linear", "cauchy", "laplace"]
Prediction = Literal["v", "epsilon", "clean"]
"""What a network predicts: the velocity, the noise, or the clean latent."""


@dataclass(frozen=True)
class NoiseSchedule:
    """Tables over the diffusion steps, each `(NUM_TRAIN_STEPS,)` float32 on the CPU.

    Args:
        betas: Share of the variance that each step replaces by noise.
        alphas_cumprod: Remaining variance of the clean latent; the square of `alpha`.
        alpha: Factor of the clean latent.
        sigma: Factor of the noise.
    """

    betas: Tensor
    alphas_cumprod: Tensor
    alpha: Tensor
    sigma: Tensor

    @classmethod
    def named(cls, name: ScheduleName) -> NoiseSchedule:
        """The schedule of that name.

        Source: cosine, Nichol & Dhariwal 2021 (arXiv 2102.09672), equation 17; the others,
        `microsoft/unilm: LatentLM/schedule/`. Betas are computed in float64 and their product in float32, as there, so
        that the tables are equal bit for bit.
        """
        assert name in get_args(ScheduleName), name
        if name == "linear":
            betas = torch.linspace(1e-4, 0.02, NUM_TRAIN_STEPS, device="cpu")
        else:
            remaining = _REMAINING[name]
            edges = [remaining(step / NUM_TRAIN_STEPS) for step in range(NUM_TRAIN_STEPS + 1)]
            ratios = [after / before for before, after in itertools.pairwise(edges)]
            betas = torch.tensor([min(1 - ratio, 0.999) for ratio in ratios], dtype=torch.float32, device="cpu")
        alphas_cumprod = torch.cumprod(1 - betas, 0)
        return cls(betas, alphas_cumprod, alphas_cumprod.sqrt(), (1 - alphas_cumprod).sqrt())

    def at(self, steps: Tensor) -> tuple[Tensor, Tensor]:
        """Alpha and sigma at steps `(N,)` int64, each `(N, 1)`."""
        alpha, sigma = self.alpha.to(steps.device), self.sigma.to(steps.device)
        return alpha[steps].unsqueeze(-1), sigma[steps].unsqueeze(-1)


def add_noise(clean: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """The noisy latent x_t; all arguments broadcast."""
    return alpha * clean + sigma * noise


def target(prediction: Prediction, clean: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """The target of a network with that prediction; all arguments broadcast."""
    if prediction == "v":
        return alpha * noise - sigma * clean
    return noise if prediction == "epsilon" else clean


def clean_from(prediction: Prediction, alpha: float, sigma: float) -> tuple[float, float]:
    """Factors p and q with which the clean latent is p · noisy + q · output."""
    if prediction == "v":
        return alpha, -sigma
    return (1 / alpha, -sigma / alpha) if prediction == "epsilon" else (0.0, 1.0)


def _cosine(time: float) -> float:
    return math.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2


def _cauchy(time: float) -> float:
    signal_to_noise = math.exp(3 + math.tan(math.pi * (0.5 - time) * 0.9))
    return 1 - 1 / (signal_to_noise + 1.1)


def _laplace(time: float) -> float:
    signal_to_noise = math.exp(-math.copysign(1, 0.5 - time) * math.log(1 - 2 * abs(time - 0.5) * 0.98))
    return 1 - 1 / (signal_to_noise + 1.02)


_REMAINING: dict[str, Callable[[float], float]] = {"cosine": _cosine, "cauchy": _cauchy, "laplace": _laplace}
"""Remaining variance of the clean latent at a time from 0 to 1."""
