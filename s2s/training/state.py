"""All that training needs to resume exactly: its progress, and the tensors besides the model's weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from s2s import checkpoint
from s2s.errors import InputError
from s2s.nn.products import Library
from s2s.training.config import TrainConfig
from s2s.training.distributed import fill_, whole
from s2s.training.loss_scale import LossScale
from s2s.training.metrics import cost

_STATE = ("step", "exp_avg", "exp_avg_sq")
"""AdamW's state of a parameter: its number of updates, and moving averages of the gradient and of its square."""


@dataclass
class Progress:
    """The progress of a run. It holds no random state: randomness depends on the seed and the position alone."""

    step: int = 0
    """Updates done."""
    epoch: int = 0
    """The epoch that the next update belongs to, from 0."""
    position: int = 0
    """Batches done in that epoch, over all ranks; so a run may be resumed with another number of ranks."""
    seconds: float = 0.0
    """Training time so far, over all starts of the run."""
    best: list[tuple[float, int]] = field(default_factory=list)
    """(value, step) of the best validations, best first; the value is the loss or metric of `train.keep_best_by`."""
    validations_since_best: int = 0
    """Validations without improvement, to compare with the patience."""
    finished: bool = False
    """Whether the run reached its end; if it was made longer since, see `is_over`."""
    tensors: int | None = None
    """Number of tensors in training.safetensors; None in checkpoints of former versions."""

    products: Library | None = None
    """The library of its products on a CPU; None in checkpoints of former versions, which had oneDNN."""

    loss_scale: LossScale | None = None
    """In float16."""

    def note_validation(self, value: float, config: TrainConfig, due: bool) -> bool:
        """Whether the value of a validation is the best so far; only those that are due count for the patience."""
        is_best = not self.best or cost(config.keep_best_by, value) < cost(config.keep_best_by, self.best[0][0])
        ranked = sorted([*self.best, (value, self.step)], key=lambda one: (cost(config.keep_best_by, one[0]), one[1]))
        self.best = ranked[: max(1, config.keep_best)]
        if due:
            self.validations_since_best = 0 if is_best else self.validations_since_best + 1
        return is_best

    def is_over(self, config: TrainConfig) -> bool:
        """Whether a run of that length and patience has reached its end."""
        return (
            (config.max_steps is not None and self.step >= config.max_steps)
            or (config.epochs is not None and self.epoch >= config.epochs)
            or (config.max_minutes is not None and self.seconds >= 60 * config.max_minutes)
            or self.is_stopped(config)
        )

    def is_stopped(self, config: TrainConfig) -> bool:
        """Whether early stopping applies: the patience has run out."""
        return config.patience is not None and self.validations_since_best >= config.patience

    def as_record(self) -> dict[str, Any]:
        """A JSON object that `read` reads."""
        return asdict(self)

    @classmethod
    def read(cls, folder: Path) -> Progress:
        """The progress in a checkpoint; InputError if its file is missing or damaged, or of another checkpoint."""
        record = checkpoint.read_progress(folder)
        try:
            progress = TypeAdapter(cls).validate_python(record)
        except ValidationError as error:
            problem = error.errors()[0]
            key = ".".join(str(part) for part in problem["loc"])
            raise InputError(f"{folder / checkpoint.PROGRESS}: {key}: {problem['msg']}") from error
        if progress.step != checkpoint.step_of(folder):
            raise InputError(f"{folder / checkpoint.PROGRESS}: is of another checkpoint: 'step' is {progress.step}")
        return progress


def gather_tensors(tensors: Mapping[str, Tensor], keep: bool) -> dict[str, Tensor]:
    """Whole copies on the CPU; every rank must call it, those with `keep=False` get empty tensors."""
    return {name: whole(tensor, keep) for name, tensor in tensors.items()}


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: Mapping[int, str]) -> dict[str, Tensor]:
    """AdamW's state under `NAME:KEY`, given the name of each parameter by its `id`."""
    return {
        f"{names[id(parameter)]}:{key}": value
        for parameter in parameters_of(optimizer)
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def optimizer_templates(optimizer: torch.optim.Optimizer, names: Mapping[int, str]) -> dict[str, Tensor]:
    """Tensors of the shapes that `optimizer_tensors` returns once every parameter has had a gradient."""
    return {
        f"{names[id(parameter)]}:{key}": torch.zeros(()) if key == "step" else parameter
        for parameter in parameters_of(optimizer)
        for key in _STATE
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, names: Mapping[int, str], tensors: Mapping[str, Tensor]
) -> None:
    """Restore the state from `optimizer_tensors`, with any number of ranks."""
    for parameter in parameters_of(optimizer):
        for key in _STATE:
            values = tensors.get(f"{names[id(parameter)]}:{key}")
            if values is not None and key == "step":
                optimizer.state[parameter][key] = values.to(parameter.device)
            elif values is not None:
                optimizer.state[parameter][key] = torch.zeros_like(parameter, requires_grad=False)
                fill_(optimizer.state[parameter][key], values)


def parameters_of(optimizer: torch.optim.Optimizer) -> Iterable[nn.Parameter]:
    """The parameters that an optimizer updates."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
