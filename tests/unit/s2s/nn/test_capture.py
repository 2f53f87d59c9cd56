"""Capturing: a step runs once a call, by a graph where there is a GPU; nothing keeps its tensors longer than needed."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from s2s.nn.capture import Captured


class Counter:
    """A step on a tensor that stays."""

    def __init__(self, device: str) -> None:
        self.count = torch.zeros(3, device=device)
        self.calls = 0
        self._captured = Captured(torch.device(device))

    def add(self) -> None:
        self.calls += 1
        self.count.add_(1)

    def run(self) -> None:
        self._captured(self.add)


def test_on_a_cpu_a_step_runs_as_it_is() -> None:
    counter = Counter("cpu")
    for _ in range(5):
        counter.run()
    assert counter.calls == 5
    assert counter.count.tolist() == [5, 5, 5]


def test_what_holds_a_captured_step_is_freed_at_once() -> None:
    counter = Counter("cpu")
    counter.run()
    gone = weakref.ref(counter)
    gc.disable()
    try:
        del counter
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_a_step_is_captured_once_and_replayed() -> None:
    counter = Counter("cuda")
    for _ in range(5):
        counter.run()
    assert counter.calls == 2, "as it is, then captured"
    assert counter.count.tolist() == [5, 5, 5]
