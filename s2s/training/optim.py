"""AdamW with weight decay on matrices, and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from s2s.config import Fact, Section

Schedule = Callable[[int], float]
"""Maps the number of updates done (0 before the first) to the factor of `optim.lr`."""


class OptimConfig(Section):
    """How the weights are updated. The defaults are those of s2s-ft."""

    lr: float = Field(5e-5, gt=0)
    """Peak learning rate, reached at the end of the warm-up."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of AdamW's moving averages of the gradient and of its square."""
    eps: Fact[float] = Field(1e-8, gt=0)
    """AdamW's epsilon, added to the denominator."""
    weight_decay: float = Field(0.01, ge=0)
    """AdamW's decoupled weight decay; not applied to biases, normalization weights and relative position biases."""
    clip_norm: float = Field(1.0, ge=0)
    """Maximum norm of the gradient over all parameters; 0 turns clipping off."""
    schedule: Literal["linear", "cosine", "inverse_sqrt", "constant", "wsd"] = "linear"
    """Learning rate after the warm-up: linear or cosine decay to 0, inverse square root decay, constant, or constant
    with a linear decay to 0 at the end (wsd: warm-up, stable, decay)."""
    warmup_steps: int = Field(0, ge=0)
    """Updates of linear warm-up from 0."""
    decay_steps: int | None = Field(None, ge=0)
    """Updates of the final decay of `wsd`; a tenth of all updates if not given."""

    @model_validator(mode="after")
    def _check(self) -> OptimConfig:
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be at least 0 and below 1, found {list(self.betas)}")
        if self.decay_steps is not None and self.schedule != "wsd":
            raise ValueError(f"decay_steps belongs to the schedule 'wsd', found schedule {self.schedule!r}")
        return self


def make_schedule(config: OptimConfig, total_steps: int) -> Schedule:
    """The learning-rate schedule of a run of `total_steps` updates.

    Every schedule starts with the warm-up `step / warmup_steps`; so the first update has rate 0, as in s2s-ft.

    Source: linear, BERT (Devlin et al., 2019); inverse_sqrt, Vaswani et al. (2017), with the peak rate given as in
        fairseq; wsd, Hu et al. (2024), with a linear decay.
    """
    warmup = config.warmup_steps
    decay = max(1, math.ceil(total_steps / 10)) if config.decay_steps is None else config.decay_steps
    remaining = max(1, total_steps - warmup)
    after_warmup: dict[str, Schedule] = {
        "linear": lambda step: max(0.0, (total_steps - step) / remaining),
        "cosine": lambda step: 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / remaining))),
        "inverse_sqrt": lambda step: math.sqrt(max(1, warmup) / max(1, step)),
        "constant": lambda step: 1.0,
        "wsd": lambda step: min(1.0, max(0.0, (total_steps - step) / max(1, decay))),
    }
    shape = after_warmup[config.schedule]
    return lambda step: step / warmup if step < warmup else shape(step)


def decays(name: str, parameter: Tensor) -> bool:
    """Whether weight decay applies to a parameter: not to biases and weights of LayerNorm, as in BERT and s2s-ft."""
    return parameter.ndim >= 2 and "bias" not in name


def make_optimizer(config: OptimConfig, parameters: Iterable[tuple[str, nn.Parameter]]) -> torch.optim.AdamW:
    """AdamW over named parameters that require gradients, each tensor once, in groups with and without weight decay.

    The caller sets the learning rate before each step (`set_lr`).
    """
    unique = {id(parameter): (name, parameter) for name, parameter in parameters if parameter.requires_grad}
    named = list(unique.values())
    groups = [
        {"params": [p for name, p in named if decays(name, p)], "weight_decay": config.weight_decay},
        {"params": [p for name, p in named if not decays(name, p)], "weight_decay": 0.0},
    ]
    fused = all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for _, p in named)
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=fused)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every group."""
    for group in optimizer.param_groups:
        group["lr"] = lr
