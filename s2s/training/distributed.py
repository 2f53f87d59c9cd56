"""Ranks under torchrun, or one process alone: device, sums over ranks, and wrapping a module in DDP or FSDP2."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from s2s.errors import ConfigError, InputError


@dataclass(frozen=True)
class Ranks:
    """This process among those of the run; all the same calls are made on every rank, in the same order.

    Args:
        rank: This process, from 0.
        size: How many there are; 1 means that nothing is ever communicated.
        device: Where this process computes.
    """

    rank: int
    size: int
    device: torch.device

    def __str__(self) -> str:
        return f"{self.size} {'ranks' if self.size > 1 else 'process'} on {self.device.type}"

    @property
    def first(self) -> bool:
        """Whether this is the rank that speaks and writes."""
        return self.rank == 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """The sum of each value over the ranks, in float64."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)  # on the CPU, so that the accelerator need not be waited for
        dist.all_reduce(total)
        return [float(value) for value in total]

    def gather(self, values: list[Any]) -> list[Any]:
        """The lists of all ranks, one after the other."""
        if self.size == 1:
            return values
        gathered: list[list[Any]] = [[] for _ in range(self.size)]
        dist.all_gather_object(gathered, values)
        return [value for part in gathered for value in part]

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """A block in which some ranks may find a user's mistake: then all raise one, and nobody waits for them."""
        found: list[InputError] = []
        try:
            yield
        except InputError as error:
            found.append(error)
        if told := self.gather([str(error) for error in found]):
            raise found[0] if found else InputError(told[0])


@contextlib.contextmanager
def join_ranks(device: str) -> Iterator[Ranks]:
    """Join the processes that torchrun started; without torchrun, the one process there is.

    Args:
        device: "auto" (an accelerator if there is one), "cpu" or "cuda".

    Raises:
        ConfigError: CUDA was asked for and there is none.
    """
    rank, size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    chosen = _choose_device(device)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if size > 1:
        # both: numbers that the loop needs at once travel by gloo, gradients on the accelerator by nccl
        dist.init_process_group("cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo")
    if rank > 0:
        logging.getLogger("s2s").setLevel(logging.ERROR)
    try:
        yield Ranks(rank, size, chosen)
        if size > 1:
            # gloo's thread needs Python's lock to let go of the last operation's tensors; what ends the group (here, or
            # DDP after us) joins that thread while it holds the lock. So all wait until the thread had its turn.
            dist.barrier()
            time.sleep(0.02)
    finally:
        if size > 1:
            dist.destroy_process_group()


def _choose_device(device: str) -> torch.device:
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise ConfigError("device: 'cuda' was asked for, but torch finds no GPU here; use cpu or auto")
    if device == "cpu" or not available:
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))


def wrap(module: nn.Module, ranks: Ranks, parallel: str, blocks: Sequence[nn.Module], phases: int) -> nn.Module:
    """The module, on this rank's device, that is called for training: itself, DDP around it, or sharded by FSDP2.

    Args:
        module: Everything that is trained, the same on all ranks.
        parallel: "ddp" or "fsdp"; one process alone needs neither.
        blocks: The layers that FSDP2 shards one by one; the rest forms one more shard.
        phases: With more than one, a backward pass does not reach every parameter, which DDP must know.
    """
    module = module.to(ranks.device)
    if ranks.size == 1:
        return module
    if parallel == "ddp":
        return DistributedDataParallel(module, find_unused_parameters=phases > 1, gradient_as_bucket_view=True)
    mesh = init_device_mesh(ranks.device.type, (ranks.size,))
    for block in blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(module, mesh=mesh)
    return module


@contextlib.contextmanager
def gradient_sync(module: nn.Module, enabled: bool) -> Iterator[None]:
    """Whether backward passes inside exchange gradients: only that of the last micro-batch needs to."""
    if isinstance(module, FSDPModule):
        module.set_requires_gradient_sync(enabled)
        yield
    elif isinstance(module, DistributedDataParallel) and not enabled:
        with module.no_sync():
            yield
    else:
        yield


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[nn.Module]:
    """The module to call for validation, in evaluation mode and without gradients."""
    inner = module.module if isinstance(module, DistributedDataParallel) else module
    module.eval()
    try:
        with torch.no_grad():
            yield inner
    finally:
        module.train()
        if isinstance(module, FSDPModule):
            module.reshard()  # or the next forward pass would use the gathered weights of this one


def whole(tensor: Tensor, keep: bool = True) -> Tensor:
    """A copy of a tensor on the CPU, gathered if it is sharded; `keep=False` takes part without keeping anything."""
    tensor = tensor.detach()
    if isinstance(tensor, DTensor):
        tensor = tensor.full_tensor()
    return tensor.to("cpu", copy=True) if keep else torch.empty(0)


def fill_(tensor: Tensor, values: Tensor) -> None:
    """Write whole values into a tensor that may be sharded."""
    with torch.no_grad():
        if isinstance(tensor, DTensor):
            values = distribute_tensor(values.to(tensor.device), tensor.device_mesh, tensor.placements)
        tensor.copy_(values)


def local(tensor: Tensor) -> Tensor:
    """The part of a tensor that this rank holds, sharing its storage."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
