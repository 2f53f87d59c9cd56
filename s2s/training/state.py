"""All that training needs to resume exactly: where it stands, and the tensors beside the model's weights."""

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
from s2s.training.config import TrainConfig
from s2s.training.distributed import fill_, whole

_STATE = ("step", "exp_avg", "exp_avg_sq")
"""What AdamW keeps of a parameter: its number of updates, and running means of the gradient and of its square."""


@dataclass
class Progress:
    """Where a run stands. No random state is in it: what is random depends on the seed and the place alone."""

    step: int = 0
    """Updates done."""
    epoch: int = 0
    """The epoch that the next update belongs to, from 0."""
    position: int = 0
    """Batches of that epoch that are done, over all ranks; so a run may be resumed with another number of them."""
    seconds: float = 0.0
    """Time spent so far, over all processes that worked on the run one after the other."""
    best: list[tuple[float, int]] = field(default_factory=list)
    """(validation loss, step) of the best validations, best first."""
    validations_since_best: int = 0
    """What the patience is compared with."""
    finished: bool = False
    """Whether the run came to its end; one that is made longer has not (`is_over`)."""
    tensors: int | None = None
    """Number of tensors in training.safetensors; None in checkpoints of former versions."""

    def is_over(self, config: TrainConfig) -> bool:
        """Whether a run of that length and patience has come to its end."""
        return (
            (config.max_steps is not None and self.step >= config.max_steps)
            or (config.epochs is not None and self.epoch >= config.epochs)
            or self.is_stopped(config)
        )

    def is_stopped(self, config: TrainConfig) -> bool:
        """Whether the validation loss has not improved for so long that patience has run out."""
        return config.patience is not None and self.validations_since_best >= config.patience

    def as_record(self) -> dict[str, Any]:
        """A JSON object that `read` reads."""
        return asdict(self)

    @classmethod
    def read(cls, folder: Path) -> Progress:
        """The progress in a checkpoint.

        Raises:
            InputError: its file is missing or broken, or holds something else.
        """
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
    """Whole copies on the CPU; every rank must call it, those with `keep=False` get nothing of use."""
    return {name: whole(tensor, keep) for name, tensor in tensors.items()}


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: Mapping[int, str]) -> dict[str, Tensor]:
    """The optimizer's state as `parameter's name:key`, in the order of the parameters.

    Args:
        optimizer: AdamW.
        names: The name of each parameter by its `id`.
    """
    return {
        f"{names[id(parameter)]}:{key}": value
        for parameter in parameters_of(optimizer)
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def optimizer_templates(optimizer: torch.optim.Optimizer, names: Mapping[int, str]) -> dict[str, Tensor]:
    """Tensors of the shapes of what `optimizer_tensors` returns once every parameter has had a gradient."""
    return {
        f"{names[id(parameter)]}:{key}": torch.zeros(()) if key == "step" else parameter
        for parameter in parameters_of(optimizer)
        for key in _STATE
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, names: Mapping[int, str], tensors: Mapping[str, Tensor]
) -> None:
    """Give an optimizer the state that `optimizer_tensors` took from another, whatever the number of ranks."""
    for parameter in parameters_of(optimizer):
        for key in _STATE:
            if (values := tensors.get(f"{names[id(parameter)]}:{key}")) is not None:
                optimizer.state[parameter][key] = _like(parameter, key, values)


def parameters_of(optimizer: torch.optim.Optimizer) -> Iterable[nn.Parameter]:
    """The parameters that an optimizer updates."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _like(parameter: nn.Parameter, key: str, values: Tensor) -> Tensor:
    if key == "step":  # AdamW's count of updates, the one state that is not of the parameter's shape
        return values.to(parameter.device)
    tensor = torch.zeros_like(parameter, requires_grad=False)
    fill_(tensor, values)
    return tensor
