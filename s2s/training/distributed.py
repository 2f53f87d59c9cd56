"""A module under DDP or FSDP2: wrapping, gradient synchronization, and whole tensors from shards."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeGuard

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.nn.parallel import DistributedDataParallel

from s2s.criteria.base import Criterion
from s2s.data.batch import Batch
from s2s.models.base import Model
from s2s.ranks import Ranks

if TYPE_CHECKING:
    from torch.distributed.fsdp import FSDPModule
    from torch.distributed.tensor import DTensor


class TrainStep(nn.Module):
    """Model and criterion as one module for DDP and FSDP, which must wrap all that is trained."""

    def __init__(self, model: Model, criterion: Criterion) -> None:
        super().__init__()
        self.model = model
        self.criterion = criterion

    def forward(self, batch: Batch, phase: str) -> dict[str, Tensor]:
        """The criterion's sums over the batch."""
        sums: dict[str, Tensor] = self.criterion(self.model, batch, phase)
        return sums


def wrap(module: nn.Module, ranks: Ranks, parallel: str, blocks: Sequence[nn.Module], partial: bool) -> nn.Module:
    """The module to call for training, on this rank's device: itself if it has one rank, else under DDP or FSDP2.

    Args:
        module: All that is trained, the same on all ranks.
        parallel: "ddp" or "fsdp".
        blocks: The layers that FSDP2 shards one by one; the rest is one more unit.
        partial: Whether a backward pass may leave parameters without gradient, which DDP must know.
    """
    module = module.to(ranks.device)
    if ranks.size == 1:
        return module
    if parallel == "ddp":
        return DistributedDataParallel(module, find_unused_parameters=partial, gradient_as_bucket_view=True)
    from torch.distributed.fsdp import fully_shard  # takes half a second, which decoding should not pay

    mesh = init_device_mesh(ranks.device.type, (ranks.size,))
    for block in blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(module, mesh=mesh)
    return module


@contextlib.contextmanager
def gradient_sync(module: nn.Module, enabled: bool) -> Iterator[None]:
    """A block whose backward passes exchange gradients if `enabled`: only the last micro-batch needs to."""
    if _is_fsdp(module):
        module.set_requires_gradient_sync(enabled)
        yield
    elif isinstance(module, DistributedDataParallel) and not enabled:
        with module.no_sync():
            yield
    else:
        yield


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[nn.Module]:
    """A block with the module to call for validation, in evaluation mode and without gradients."""
    inner = module.module if isinstance(module, DistributedDataParallel) else module
    module.eval()
    try:
        with torch.no_grad():
            yield inner
    finally:
        module.train()
        if _is_fsdp(module):
            module.reshard()  # otherwise the next forward pass would use the gathered weights of this one


@contextlib.contextmanager
def gathered_weights(module: nn.Module) -> Iterator[None]:
    """A block in which every rank has all weights, so that each may call the model's parts as often as it likes."""
    units = [unit for unit in module.modules() if _is_fsdp(unit)]
    for unit in units:
        unit.set_reshard_after_forward(False, recurse=False)
        unit.unshard()
    try:
        yield
    finally:
        for unit in units:
            unit.set_reshard_after_forward(unit is not units[0], recurse=False)  # the outermost one is first
            unit.reshard()


def gathered(tensor: Tensor) -> Tensor:
    """The whole of a tensor that may be sharded, on its device."""
    return tensor.full_tensor() if _is_sharded(tensor) else tensor


def whole(tensor: Tensor, keep: bool = True) -> Tensor:
    """A copy of a tensor on the CPU, gathered if it is sharded; with `keep=False` a rank only takes part."""
    tensor = gathered(tensor.detach())
    return tensor.to("cpu", copy=True) if keep else torch.empty(0)


def fill_(tensor: Tensor, values: Tensor) -> None:
    """Write whole values into a tensor that may be sharded."""
    with torch.no_grad():
        if _is_sharded(tensor):
            from torch.distributed.tensor import distribute_tensor

            values = distribute_tensor(values.to(tensor.device), tensor.device_mesh, tensor.placements)
        tensor.copy_(values)


def local(tensor: Tensor) -> Tensor:
    """The part of a tensor that this rank holds, sharing its storage."""
    return tensor.to_local() if _is_sharded(tensor) else tensor


def _is_sharded(tensor: Tensor) -> TypeGuard[DTensor]:
    """Whether it is a shard: of a class that is loaded where something was sharded."""
    loaded = sys.modules.get("torch.distributed.tensor")
    return loaded is not None and isinstance(tensor, loaded.DTensor)


def _is_fsdp(module: nn.Module) -> TypeGuard[FSDPModule]:
    loaded = sys.modules.get("torch.distributed.fsdp")
    return loaded is not None and isinstance(module, loaded.FSDPModule)
