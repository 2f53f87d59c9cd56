"""Ranks: the processes that torchrun started, or a single process; its device, and sums and lists over all of them."""

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

from s2s.errors import ConfigError, InputError


@dataclass(frozen=True)
class Ranks:
    """This process among the `size` processes of the run. Every rank makes the same calls, in the same order."""

    rank: int
    size: int
    device: torch.device

    def __str__(self) -> str:
        return f"{self.size} {'ranks' if self.size > 1 else 'process'} on {self.device.type}"

    @property
    def first(self) -> bool:
        """Whether this is the rank that reports and writes."""
        return self.rank == 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """The sum of each value over the ranks, in float64."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)  # on the CPU, not to wait for the accelerator
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
        """A block in which some ranks may raise an InputError: then all ranks do, so that none waits forever."""
        found: list[InputError] = []
        try:
            yield
        except InputError as error:
            found.append(error)
        if messages := self.gather([str(error) for error in found]):
            raise found[0] if found else InputError(messages[0])


@contextlib.contextmanager
def join_ranks(device: str) -> Iterator[Ranks]:
    """Join the processes that torchrun started, or run alone.

    Args:
        device: "auto" (a CUDA GPU if there is one, else the CPU), "cpu", "cuda" or "mps" (Apple's GPU, one process).

    Raises:
        ConfigError: the device has another name, or torch does not find it here.
    """
    chosen = choose_device(device)
    rank, size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if size > 1:
        # gloo for numbers that the loop needs at once, nccl for gradients on the accelerator
        dist.init_process_group("cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo")
    if rank > 0:
        logging.getLogger().setLevel(logging.ERROR)  # every rank would repeat the rest
    try:
        yield Ranks(rank, size, chosen)
        if size > 1:
            # gloo's thread needs Python's lock to release the tensors of the last operation. Whoever ends the group
            # (we, or DDP later) holds the lock while it joins that thread, so all wait until the thread is done.
            dist.barrier()
            time.sleep(0.02)
    finally:
        if size > 1:
            dist.destroy_process_group()


def choose_device(device: str) -> torch.device:
    """The device of a name, see `join_ranks`; ConfigError as there."""
    if device not in ("auto", "cpu", "cuda", "mps"):
        raise ConfigError(f"device: must be auto, cpu, cuda or mps, found {device!r}")
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    name = device if device != "auto" else "cuda" if available["cuda"] else "cpu"
    if not available[name]:
        raise ConfigError(f"device: {name!r} was asked for, but torch finds no such GPU here; use cpu or auto")
    if name != "cuda":
        return torch.device(name)
    torch.set_float32_matmul_precision("high")  # TF32: 10 bits of the factors, float32 sums, several times the speed
    return torch.device(name, int(os.environ.get("LOCAL_RANK", 0)))
