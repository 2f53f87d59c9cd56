"""Numbers of the public LatentLM and VibeVoice components, reproduced by the product.

The cases in data/latent were made by transformers 5.23.0, diffusers 0.42.1 and the LatentLM image repository on tiny
random models.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

REPO = Path(__file__).parents[2]
CASES = sorted((REPO / "tests/golden/data/latent").glob("*.json"))


def load_script() -> Any:
    spec = importlib.util.spec_from_file_location("golden_latent", REPO / "scripts/golden_latent.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["golden_latent"] = module
    spec.loader.exec_module(module)
    return module


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8")), load_file(path.with_suffix(".safetensors"))


def test_the_five_cases_are_here() -> None:
    assert [path.stem.removeprefix("case_pub_") for path in CASES] == [
        "acoustic",
        "head",
        "latentlm",
        "schedule",
        "semantic",
    ]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_latent_case_is_reproduced(path: Path) -> None:
    case, tensors = read(path)
    figures = list(load_script().KINDS[case["kind"]](case, tensors))
    assert figures
    assert not [figure for figure in figures if not figure[1] <= figure[2]]


@pytest.mark.parametrize(
    ("name", "tensor"), [("acoustic", "out.mu"), ("head", "out.v"), ("latentlm", "out.ar_latents")]
)
def test_a_wrong_number_is_noticed(name: str, tensor: str) -> None:
    case, tensors = read(REPO / f"tests/golden/data/latent/case_pub_{name}.json")
    tensors[tensor] = tensors[tensor] * 1.01
    figures = list(load_script().KINDS[case["kind"]](case, tensors))
    assert [figure for figure in figures if not figure[1] <= figure[2]]
