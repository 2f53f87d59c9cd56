"""The examples run as they are, in an empty folder; where they would train for minutes, on tiny data and one update."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import unilatent

from s2s import shipped

REPO = Path(__file__).parents[2]
EXAMPLES = REPO / "examples"
RUN = REPO / "tests/regression/data/run"
LONGEST = 32  # lines, the docstring with them


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, name: str, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")


def summarizer() -> str:
    """The shipped one, or a tiny run that takes its place."""
    return "summarizer" if "summarizer" in shipped.runs() else str(RUN)


def test_summarize(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run(monkeypatch, "summarize", summarizer())
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("  ")]) == 6
    assert lines[0].startswith("ImageMagick")


def test_ask_questions(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    smaller = ["train.epochs=null", "train.max_steps=1", "train.workers=0", "task.max_source=48", "task.max_target=16"]
    run(monkeypatch, "ask_questions", RUN, *smaller)
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_hear(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("soundfile")
    from tiny_encoder import write_whisper
    from tiny_voice import write_recordings

    manifest = write_recordings(home / "recordings", 16000)
    smaller = ["train.max_steps=1", "train.workers=0", "model.hidden_size=16", "model.num_layers=1"]
    run(monkeypatch, "hear", manifest, home / "recordings/ann0.wav", write_whisper(home / "whisper"), *smaller)
    assert capsys.readouterr().out.endswith("\n")
    assert (home / "runs/hearing/latents.json").is_file()


def test_speak_and_narrate(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("soundfile")
    from latent.synthesis.provenance import read_tags

    run(monkeypatch, "speak")
    run(monkeypatch, "narrate")
    assert all("Synthetic speech" in read_tags(name)["comment"] for name in ("speech.wav", "dialogue.wav"))


def test_pretrain(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_process(command: list[str], check: bool) -> None:
        assert command[0] == "unilatent"
        unilatent(*command[1:], *(["--processes", 1] if "pretrain-text" in command else []))

    monkeypatch.setattr(subprocess, "run", in_process)
    shutil.copy(REPO / "tests/regression/data/raw.jsonl", home)
    smaller = ["model.hidden_size=32", "model.num_layers=1", "train.max_steps=1", "train.workers=0"]
    run(monkeypatch, "pretrain", "raw.jsonl", *smaller)
    assert (home / "runs/encoder/model.safetensors").is_file()


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("decode_array", "unilatent decode a --input b --output c --shard 3/64"),
        (
            "train_nodes",
            "torchrun --nnodes 4 --node-rank 3 --nproc-per-node 8 --master-addr node1 --master-port 29500"
            " --no-python unilatent train a --output b c",
        ),
    ],
)
def test_jobs_of_slurm_start_what_they_say(home: Path, name: str, expected: str) -> None:
    programs = {"srun": 'exec "$@"', "scontrol": "printf 'node1\\nnode2\\n'"}
    programs |= {verb: f'echo {verb} "$@"' for verb in ("unilatent", "torchrun")}
    for program, does in programs.items():
        (home / program).write_text(f"#!/bin/bash\n{does}\n")
        (home / program).chmod(0o755)
    slurm = {"ARRAY_TASK_ID": 3, "CPUS_PER_TASK": 4, "NNODES": 4, "NODEID": 3, "GPUS_ON_NODE": 8, "JOB_NODELIST": "x"}
    environment = {**os.environ, "PATH": f"{home}{os.pathsep}{os.environ['PATH']}"}
    environment |= {f"SLURM_{key}": str(value) for key, value in slurm.items()}
    command = ["bash", str(EXAMPLES / f"cluster/{name}.sbatch"), "a", "b", "c"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


def test_the_notebook_runs_from_top_to_bottom(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("soundfile")
    cells = json.loads((EXAMPLES / "tour.ipynb").read_text(encoding="utf-8"))["cells"]
    codes = [cell for cell in cells if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in codes), "clear the outputs before a commit"
    variables: dict[str, Any] = {}
    for cell in codes:
        exec("".join(cell["source"]).replace('"summarizer"', repr(summarizer())), variables)
    assert "Did you mean 'beam_size'?" in capsys.readouterr().out
    assert (home / "morning.wav").is_file()


def test_examples_are_short_and_named_in_the_guide() -> None:
    guide = (REPO / "docs/python.md").read_text(encoding="utf-8")
    for path in [*EXAMPLES.glob("*.py"), *EXAMPLES.glob("*.ipynb")]:
        assert f"examples/{path.name}" in guide
        assert path.suffix != ".py" or len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST
