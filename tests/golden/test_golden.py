"""Numbers of the reference implementations, reproduced by the product through scripts/check_golden.py.

The cases in data/s2s were made by the original s2s-ft code, those in data/latent by transformers 5.23.0, diffusers
0.42.1 and the LatentLM image repository, all on tiny random models. Newer sets beside the project (../shared/golden)
run too.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

REPO = Path(__file__).parents[2]
SCRIPT = REPO / "scripts/check_golden.py"
OURS = REPO / "tests/golden/data"
FOLDERS = [root / wing for root in (OURS, REPO.parent / "shared/golden") for wing in ("s2s", "latent")]
CASES = [path for folder in FOLDERS if folder.is_dir() for path in sorted(folder.glob("*.json"))]


def load_script() -> Any:
    if "check_golden" not in sys.modules:
        spec = importlib.util.spec_from_file_location("check_golden", SCRIPT)
        assert spec is not None
        assert spec.loader is not None
        sys.modules["check_golden"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["check_golden"])
    return sys.modules["check_golden"]


def test_the_cases_are_here() -> None:
    assert len(list(OURS.glob("s2s/*.json"))) == 12
    assert len(list(OURS.glob("latent/*.json"))) == 8


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parts[-4]}-{path.stem}")
def test_case_is_reproduced(path: Path) -> None:
    figures = load_script().check_case(path)
    assert figures
    assert not [figure for figure in figures if not figure.passed]


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("s2s/case_pub_train_pseudo_bert", "out/logits"),
        ("s2s/case_pub_decode_bert", "out/beam5_lp0/scores"),
        ("latent/case_pub_acoustic", "out.mu"),
        ("latent/case_pub_head", "out.v"),
        ("latent/case_pub_latentlm", "out.ar_latents"),
        ("latent/case_pub_e2e_multi", "mid.audio_chunks"),
        ("latent/case_pub_realtime", "out.audio"),
    ],
)
def test_a_number_that_is_one_percent_off_is_noticed(tmp_path: Path, name: str, tensor: str) -> None:
    case = OURS / f"{name}.json"
    tensors = load_file(case.with_suffix(".safetensors"))
    tensors[tensor] = tensors[tensor] * 1.01
    save_file(tensors, tmp_path / f"{case.stem}.safetensors")
    (tmp_path / case.name).write_text(case.read_text())
    assert [figure for figure in load_script().check_case(tmp_path / case.name) if not figure.passed]


def test_a_failed_case_fails_the_script(tmp_path: Path) -> None:
    case = OURS / "s2s/case_pub_relpos_bucket.json"
    (tmp_path / case.name).write_text(case.read_text().replace('"9": 12', '"9": 13'))
    (tmp_path / "unknown.json").write_text(json.dumps({"kind": "weather"}))
    result = subprocess.run([sys.executable, SCRIPT, tmp_path], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "FAIL" in result.stdout
    assert "unknown kind 'weather'" in result.stdout
    assert result.stdout.splitlines()[-1] == "0 passed, 2 failed"
