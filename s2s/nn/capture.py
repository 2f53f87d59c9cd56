"""Steps that a GPU repeats without the host: captured once, replayed, and looked at a little later.

A step that can be captured has no arguments and no result. It reads and writes tensors that stay where they are, all
of its shapes stay the same, and it never waits for the device. On a CPU the same step runs as it is written.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class Captured:
    """A place for a step, which runs as a CUDA graph on a GPU, and as it is elsewhere.

    The first call runs the step as it is, so that kernels and workspaces exist; the second one captures it. The step is
    given to each call, not kept: whoever has the tensors also has this, and a circle would keep the GPU's memory.
    """

    def __init__(self, device: torch.device) -> None:
        self._on_gpu, self._is_warm = device.type == "cuda", False
        self._graph: torch.cuda.CUDAGraph | None = None

    @torch.inference_mode()
    def __call__(self, step: Callable[[], None]) -> None:
        """Run the step once; it must be the same at every call."""
        if self._graph is None and self._on_gpu and self._is_warm:
            self._graph = torch.cuda.CUDAGraph()
            # records, computes nothing; other threads may use the GPU meanwhile
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                step()
        if self._graph is None:
            step()
            self._is_warm = True
        else:
            self._graph.replay()


class Glance:
    """A number on the device that the host reads a few steps after it asked, when it has long been there."""

    def __init__(self, device: torch.device) -> None:
        on_gpu = device.type == "cuda"
        self._copy = torch.zeros((), dtype=torch.int64, pin_memory=on_gpu)
        self._there = torch.cuda.Event() if on_gpu else None  # type: ignore[no-untyped-call]
        self._asked = False

    def ask(self, number: Tensor) -> None:
        """Send for the present value of `number` `()` int64."""
        self._copy.copy_(number, non_blocking=True)
        if self._there is not None:
            self._there.record()
        self._asked = True

    def answer(self) -> int | None:
        """The value when `ask` was last called; None if it was not."""
        if not self._asked:
            return None
        if self._there is not None:
            self._there.synchronize()
        return int(self._copy)

    def forget(self) -> None:
        """Take back what was asked."""
        self._asked = False


def in_bucket(number: int) -> int:
    """The least of 1, 2, 3, 4, 6, 8, 12, 16, 24, ... that is no less: so that few sizes occur."""
    power = 1 << max(0, number - 1).bit_length()
    return 3 * power // 4 if number <= 3 * power // 4 and power > 2 else power
