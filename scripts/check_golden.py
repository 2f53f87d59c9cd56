#!/usr/bin/env python
"""Run the golden cases of folders through this code, and print the error of each.

    python scripts/check_golden.py FOLDER...

A case is NAME.json, with NAME.safetensors if it has tensors. Its `kind` selects the check, in golden_s2s.py,
golden_latent.py, golden_images.py, golden_vibevoice.py, golden_recognition.py, golden_distillation.py,
golden_pretraining.py or golden_captioning.py. A case whose kind has no check is skipped, as is a comparison with a
tensor that the case lacks.
Exit status 1 if a case fails.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NamedTuple

import golden_captioning
import golden_distillation
import golden_images
import golden_latent
import golden_pretraining
import golden_recognition
import golden_s2s
import golden_vibevoice
import torch
from golden_figures import Figure, MissingTap, Taps
from safetensors.torch import load_file

CHECKS = (
    golden_s2s,
    golden_latent,
    golden_images,
    golden_vibevoice,
    golden_recognition,
    golden_distillation,
    golden_pretraining,
    golden_captioning,
)
KINDS = {kind: check for module in CHECKS for kind, check in module.KINDS.items()}


class Result(NamedTuple):
    """Result of a case: its comparisons, why it was skipped, which error stopped the check."""

    figures: list[Figure]
    skipped: str = ""
    broken: str = ""

    @property
    def failed(self) -> bool:
        nothing_compared = not self.skipped and all(figure.skipped for figure in self.figures)
        return bool(self.broken) or nothing_compared or any(figure.failed for figure in self.figures)


def check_case(path: Path) -> Result:
    """Make all comparisons of a case; an error becomes part of the result."""
    figures: list[Figure] = []
    try:
        case = json.loads(path.read_text(encoding="utf-8"))
        kind = case.get("kind")
        if kind not in KINDS:
            return Result([], skipped=f"nothing here checks the kind {kind!r}; that part is not built yet")
        tensors = path.with_suffix(".safetensors")
        figures += KINDS[kind](
            case, Taps(load_file(tensors) if tensors.exists() else {})
        )  # keeps the comparisons before an error
    except MissingTap as missing:
        return Result(figures, broken=f"the case lacks {missing}, which the check needs")
    except Exception as error:  # a broken case must not hide the others
        return Result(figures, broken=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
    return Result(figures)


def report(name: str, result: Result) -> str:
    """One line with the comparison nearest to its tolerance, then a line for each that failed or was skipped."""
    if result.skipped:
        return f"{name:32} skipped: {result.skipped}"
    made = [figure for figure in result.figures if not figure.skipped]
    line = f"{name:32} {'FAIL' if result.failed else 'pass'}  {len(made):3} comparisons"
    if made:
        worst = max(made, key=lambda figure: (not figure.passed, figure.error / (figure.tolerance or 1e-30)))
        line += f", largest error {worst.error:.2g} of {worst.tolerance:.2g} allowed ({worst.name})"
    lines = [line, *([f"    stopped by an error: {result.broken}"] if result.broken else [])]
    for figure in result.figures:
        if figure.failed:
            lines.append(f"    failed: {figure.name}: {figure.error:.3g}, allowed {figure.tolerance:.3g}")
        elif figure.skipped:
            lines.append(f"    skipped: {figure.name}: the case has no {figure.error.name}")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Check folders and print a line for each case; returns the exit status."""
    folders = [Path(argument) for argument in arguments]
    if not folders:
        print("usage: check_golden.py FOLDER..., each with golden cases (*.json)", file=sys.stderr)
        return 2
    passed = failed = skipped = 0
    for folder in folders:
        paths = sorted(folder.glob("*.json"))
        if not paths:
            print(f"{folder}: expected a folder with golden cases (*.json), found none", file=sys.stderr)
            return 2
        for path in paths:
            result = check_case(path)
            failed, skipped = failed + result.failed, skipped + bool(result.skipped)
            passed += not result.failed and not result.skipped
            print(report(path.stem, result), flush=True)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    torch.manual_seed(0)
    sys.exit(main(sys.argv[1:]))
