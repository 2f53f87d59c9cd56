#!/usr/bin/env python
"""Run every case of a folder of golden data through the product's own code, and print how far off each one is.

    python scripts/check_golden.py DIR

A case is NAME.json, with NAME.safetensors where it has tensors; its `kind` chooses the check, in golden_s2s.py,
golden_latent.py or golden_vibevoice.py. Exit status 1 if a case fails or its kind is unknown.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parent))

import golden_latent
import golden_s2s
import golden_vibevoice

KINDS = {**golden_s2s.KINDS, **golden_latent.KINDS, **golden_vibevoice.KINDS}


class Figure(NamedTuple):
    """One comparison: the largest error found, and the largest allowed (0 = must be equal)."""

    name: str
    error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.error <= self.tolerance  # False for NaN


def check_case(path: Path) -> list[Figure]:
    """All comparisons of one case."""
    case = json.loads(path.read_text(encoding="utf-8"))
    check = KINDS.get(case.get("kind"))
    if check is None:
        return [Figure(f"unknown kind {case.get('kind')!r}", 1, 0)]
    tensors = path.with_suffix(".safetensors")
    return [Figure(*figure) for figure in check(case, load_file(tensors) if tensors.exists() else {})]


def worst(figures: list[Figure]) -> Figure:
    """The comparison nearest to its tolerance, or farthest beyond it."""
    return max(figures, key=lambda item: (not item.passed, item.error / (item.tolerance or 1e-30)))


def main() -> int:
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        print("usage: check_golden.py DIR, a folder of golden cases (*.json)", file=sys.stderr)
        return 2
    paths = sorted(Path(sys.argv[1]).glob("*.json"))
    if not paths:
        print(f"{sys.argv[1]}: no case (*.json) in it", file=sys.stderr)
        return 2
    passed = failed = 0
    for path in paths:
        figures = check_case(path)
        bad = [figure for figure in figures if not figure.passed]
        passed, failed = passed + (not bad), failed + bool(bad)
        name, error, tolerance = worst(figures)
        print(
            f"{path.stem:32} {'FAIL' if bad else 'pass'}  {len(figures):3} comparisons, "
            f"largest error {error:.2g} of {tolerance:.2g} allowed ({name})"
        )
        for figure in bad:
            print(f"    failed: {figure.name}: {figure.error:.3g}, allowed {figure.tolerance:.3g}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    torch.manual_seed(0)
    sys.exit(main())
