"""Numbers of the reference implementations, reproduced by the product through scripts/check_golden.py.

The cases in data/s2s were made by the original s2s-ft code on tiny random models; where a newer set lies beside the
project (../shared/golden), it is run as well.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
FOLDERS = [REPO / "tests/golden/data/s2s", REPO.parent / "shared/golden/s2s"]
CASES = [path for folder in FOLDERS if folder.is_dir() for path in sorted(folder.glob("*.json"))]


def load_script():
    spec = importlib.util.spec_from_file_location("check_golden", REPO / "scripts/check_golden.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["check_golden"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parts[-4]}-{path.stem}")
def test_case_is_reproduced(path: Path) -> None:
    comparisons = load_script().check_case(path)
    assert comparisons
    assert not [comparison for comparison in comparisons if not comparison.passed]


def test_a_wrong_number_fails_the_script(tmp_path: Path) -> None:
    case = REPO / "tests/golden/data/s2s/case_pub_relpos_bucket.json"
    (tmp_path / case.name).write_text(case.read_text().replace('"9": 12', '"9": 13'))
    result = subprocess.run(
        [sys.executable, str(REPO / "scripts/check_golden.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "FAIL" in result.stdout
    assert result.stdout.splitlines()[-1] == "0 passed, 1 failed"
