"""Solvers as tables of scalars, which are known before sampling starts.

All solvers have one form. From the noisy latent x and the network's output at a step follow

    clean    m = p · x + q · output
    next     x' = a · x + b · m + c · (m of the step before) + d · (new unit noise)

and only the scalars differ. Ten cosine steps of DPM-Solver++ (2M) begin with a = 0.987881, b = 0.155166, c = 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from latent.diffusion.schedule import NUM_TRAIN_STEPS, NoiseSchedule, Prediction, clean_from

SolverName = Literal["dpm", "dpm_heun", "dpm_sde", "ddim", "ddpm"]


@dataclass(frozen=True)
class SolverStep:
    """One step, in the letters of the formulas above; `timestep` is the input of the network."""

    timestep: int
    p: float
    q: float
    a: float
    b: float
    c: float
    d: float

    def clean(self, x: Tensor, output: Tensor) -> Tensor:
        """The clean latent that follows from the network's output."""
        return torch.add(self.p * x, output, alpha=self.q)

    def next(self, x: Tensor, clean: Tensor, previous: Tensor | None, noise: Tensor | None) -> Tensor:
        """The noisy latent of the next step, of any shape.

        `previous` is the clean latent of the step before, None at the first; unit noise may be None where `d` is 0.
        """
        result = torch.add(self.a * x, clean, alpha=self.b)
        if self.c:
            assert previous is not None, "a step of second order needs the one before"
            result = torch.add(result, previous, alpha=self.c)
        if self.d:
            assert noise is not None, "this solver draws noise"
            result = torch.add(result, noise, alpha=self.d)
        return result


Solver = tuple[SolverStep, ...]
"""The steps of one sampling run, from noise to clean."""


def make_solver(name: SolverName, schedule: NoiseSchedule, num_steps: int, prediction: Prediction) -> Solver:
    """The solver of that name, with 1 to `NUM_TRAIN_STEPS` evaluations of a network trained with a schedule.

    "dpm" is DPM-Solver++ 2M, midpoint; "dpm_heun" and "dpm_sde" are its variants; "ddim" is its first order; "ddpm" is
    the stochastic DDPM sampler.

    Source: DPM-Solver++ (arXiv 2211.01095), algorithm 2; `microsoft/unilm: LatentLM/schedule/dpm_solver.py`.
    """
    assert 1 <= num_steps <= NUM_TRAIN_STEPS, num_steps
    if name == "ddpm":
        return _ddpm(schedule, num_steps, prediction)
    timesteps = dpm_timesteps(num_steps)
    ratios = [*noise_ratios(schedule)[timesteps].cpu().double().tolist(), 0.0]
    steps = []
    for index, timestep in enumerate(timesteps):
        earlier = None if index == 0 or name == "ddim" else ratios[index - 1]
        alpha, sigma = _alpha_sigma(ratios[index])
        p, q = clean_from(prediction, alpha, sigma)
        steps.append(SolverStep(timestep, p, q, *_dpm_update(name, earlier, ratios[index], ratios[index + 1])))
    return tuple(steps)


def dpm_timesteps(num_steps: int) -> list[int]:
    """Evenly spaced steps from the last one down, without 0; halves round to even."""
    spaced = [round(index * (NUM_TRAIN_STEPS - 1) / num_steps) for index in range(num_steps + 1)]
    return spaced[:0:-1]


def ddpm_timesteps(num_steps: int) -> list[int]:
    """Every (1000 // num_steps)-th step, down to 0."""
    stride = NUM_TRAIN_STEPS // num_steps
    return [index * stride for index in reversed(range(num_steps))]


def noise_ratios(schedule: NoiseSchedule) -> Tensor:
    """Noise over signal, σ / α, at each diffusion step."""
    return torch.sqrt((1 - schedule.alphas_cumprod) / schedule.alphas_cumprod)


def _alpha_sigma(ratio: float) -> tuple[float, float]:
    alpha = 1 / math.sqrt(1 + ratio * ratio)
    return alpha, ratio * alpha


def _dpm_update(name: SolverName, earlier: float | None, ratio: float, next_ratio: float) -> tuple[float, ...]:
    """The scalars a, b, c, d of one step, from the noise ratios at this step, the one before and the next."""
    if next_ratio == 0:  # the last step: all noise is gone
        return 0.0, 1.0, 0.0, 0.0
    _, sigma = _alpha_sigma(ratio)
    next_alpha, next_sigma = _alpha_sigma(next_ratio)
    step = math.log(ratio / next_ratio)  # in log signal-to-noise
    shrink = -math.expm1(-step)
    correction = 0.0 if earlier is None else step / math.log(earlier / ratio)  # 1 / r of the paper
    a, b, d = next_sigma / sigma, next_alpha * shrink, 0.0
    if name == "dpm_sde":
        fade = math.exp(-step)
        a, b, d = a * fade, next_alpha * (1 - fade * fade), next_sigma * math.sqrt(1 - fade * fade)
    slope = next_alpha * (1 - shrink / step) if name == "dpm_heun" else b / 2
    return a, b + slope * correction, -slope * correction, d


def _ddpm(schedule: NoiseSchedule, num_steps: int, prediction: Prediction) -> Solver:
    remaining = schedule.alphas_cumprod.cpu().double().tolist()
    stride = NUM_TRAIN_STEPS // num_steps
    steps = []
    for timestep in ddpm_timesteps(num_steps):
        now, after = remaining[timestep], remaining[timestep - stride] if timestep >= stride else 1.0
        beta = 1 - now / after
        p, q = clean_from(prediction, math.sqrt(now), math.sqrt(1 - now))
        a = math.sqrt(now / after) * (1 - after) / (1 - now)
        b = math.sqrt(after) * beta / (1 - now)
        steps.append(SolverStep(timestep, p, q, a, b, 0.0, math.sqrt(beta) if timestep > 0 else 0.0))
    return tuple(steps)
