"""The benchmark of students: each way to learn is a chain of commands, which goes on where it was stopped."""

from __future__ import annotations

import importlib
import shlex
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
TEACHER = REPO / "tests" / "regression" / "data" / "run"


def prepared(folder: Path) -> Path:
    """The first eight pairs of each part of the sample."""
    folder.mkdir()
    for split in ("train", "valid", "test"):
        lines = (REPO / "data_prep" / "sample" / "en" / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
        (folder / f"{split}.jsonl").write_text("\n".join(lines[:8]) + "\n", encoding="utf-8")
    return folder


@pytest.mark.slow
def test_a_row_trains_decodes_and_names_the_command_that_compares(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(REPO / "benchmarks"))
    program, out = importlib.import_module("distillation"), tmp_path / "out"
    command = [str(TEACHER), str(out), "--data", str(prepared(tmp_path / "data")), "--layers", "1", "--updates", "3"]
    command += ["--only", "relation-gold", "plate-1.5", "--options", "task.max_source=20", "task.max_target=10"]
    program.main(command)
    written = {path: path.read_bytes() for path in sorted(out.rglob("*.jsonl")) if path.name != "log.jsonl"}
    assert {path.name for path in written} == {
        "labels-1.5.jsonl",
        "plate-1.5.1.jsonl",
        "relation-gold.1.jsonl",
        "teacher.jsonl",
    }
    last = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert last[:2] == ["unilatent", "evaluate"]
    assert {f"{row}.1={out}/{row}.1.jsonl" for row in ("relation-gold", "plate-1.5")} <= set(last)
    program.main(command)
    assert {path: path.read_bytes() for path in written} == written
