"""Benchmarks whose rows are chains of commands, which go on where they were stopped."""

from __future__ import annotations

import importlib
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from command_line import unilatent

REPO = Path(__file__).parents[2]
TEACHER = REPO / "tests" / "regression" / "data" / "run"


def program(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(REPO / "benchmarks"))
    return importlib.import_module(name)


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
    distillation, out = program("distillation", monkeypatch), tmp_path / "out"
    command = [str(TEACHER), str(out), "--data", str(prepared(tmp_path / "data")), "--layers", "1", "--updates", "3"]
    command += ["--only", "relation-gold", "plate-1.5", "--options", "task.max_source=20", "task.max_target=10"]
    distillation.main(command)
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
    distillation.main(command)
    assert {path: path.read_bytes() for path in written} == written


@pytest.mark.slow
def test_objectives_are_compared_after_fine_tuning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rouge_score")
    objectives, data = program("pretraining", monkeypatch), prepared(tmp_path / "data")
    text, shards = tmp_path / "text.jsonl", str(tmp_path / "shards")
    with text.open("w", encoding="utf-8") as file:
        for line in (data / "train.jsonl").read_text(encoding="utf-8").splitlines():
            file.write(json.dumps({"text": json.loads(line)["src"]}) + "\n")
    unilatent("prepare", "vocabulary", tmp_path / "vocabulary", "--input", text, "--size", "300")
    lengths = ["--max-length", 128, "--valid-share", 0.5]
    unilatent("prepare", "pretrain-text", shards, "--input", text, "--tokenizer", tmp_path / "vocabulary", *lengths)
    command = [str(tmp_path / "out"), "--text", shards, "--data", str(data), "--updates", "2"]
    command += ["--finetuning-updates", "2", "--only", "random", "electra", "--seeds", "1", "2"]
    objectives.main(command)
    tables = capsys.readouterr().out.split("\n\n")[-2:]
    assert [line.split(" |")[0] for line in tables[0].splitlines()[2:]] == ["| random", "| electra"]
    assert [line.split(" |")[0] for line in tables[1].splitlines()[2:]] == ["| electra"]
    states = {run: run.stat().st_mtime_ns for run in (tmp_path / "out").glob("*/model.safetensors")}
    assert len(states) == 8
    objectives.main(command)
    assert capsys.readouterr().out.split("\n\n")[-2:] == tables
    assert {run: run.stat().st_mtime_ns for run in states} == states
