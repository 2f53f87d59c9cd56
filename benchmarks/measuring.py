"""Shared by the benchmarks: sizes on the command line, and the speed of a plain matrix product."""

from __future__ import annotations

import time

import torch


def parse_size(text: str) -> tuple[int, int]:
    """Parse LAYERSxWIDTH."""
    layers, _, width = text.partition("x")
    return int(layers), int(width)


def probe(device: str = "cpu") -> float:
    """GFLOP/s of a product of two 1024 x 1024 float32 matrices, now."""
    matrix = torch.ones(1024, 1024, device=device)
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        matrix @ matrix
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begun)
    return 2 * 1024**3 / min(times) / 1e9
