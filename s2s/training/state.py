"""All that training must remember to go on exactly: where it stands, and the tensors beside the model's weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from s2s.training.distributed import fill_, whole


@dataclass
class Progress:
    """Where a run stands. No random state is in it: what is random depends on the seed and the place alone."""

    step: int = 0
    """Updates done."""
    epoch: int = 0
    """The epoch that the next update belongs to, from 0."""
    position: int = 0
    """Batches of that epoch that are done, over all ranks; so a run may go on with another number of them."""
    seconds: float = 0.0
    """Time spent so far, over all processes that worked on the run one after the other."""
    best: list[tuple[float, int]] = field(default_factory=list)
    """(validation loss, step) of the best validations, best first."""
    validations_since_best: int = 0
    """What the patience is compared with."""
    finished: bool = False
    """Whether the run has come to its end."""

    def as_record(self) -> dict[str, Any]:
        """A JSON object that `from_record` reads."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Progress:
        """The progress in a checkpoint."""
        return cls(**{**record, "best": [(float(loss), int(step)) for loss, step in record["best"]]})


def gather_tensors(tensors: Mapping[str, Tensor], keep: bool) -> dict[str, Tensor]:
    """Whole copies on the CPU; every rank must call it, those with `keep=False` get nothing of use."""
    return {name: whole(tensor, keep) for name, tensor in tensors.items()}


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: Mapping[int, str]) -> dict[str, Tensor]:
    """The optimizer's state as `parameter's name:key`, in the order of the parameters.

    Args:
        optimizer: One whose state is tensors only, as AdamW's.
        names: The name of each parameter by its `id`.
    """
    return {
        f"{names[id(parameter)]}:{key}": value
        for parameter in parameters_of(optimizer)
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, names: Mapping[int, str], tensors: Mapping[str, Tensor]
) -> None:
    """Give an optimizer the state that `optimizer_tensors` took from another, whatever the number of ranks."""
    for parameter in parameters_of(optimizer):
        name = names[id(parameter)]
        state = {key.removeprefix(f"{name}:"): key for key in tensors if key.rpartition(":")[0] == name}
        for key, full_key in state.items():
            optimizer.state[parameter][key] = _like(parameter, key, tensors[full_key])


def parameters_of(optimizer: torch.optim.Optimizer) -> Iterable[nn.Parameter]:
    """The parameters that an optimizer updates."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _like(parameter: nn.Parameter, key: str, values: Tensor) -> Tensor:
    if key == "step":  # AdamW's count of updates, the one state that is not of the parameter's shape
        return values.to(parameter.device)
    tensor = torch.zeros_like(parameter, requires_grad=False)
    fill_(tensor, values)
    return tensor
