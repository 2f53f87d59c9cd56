"""A run that is killed at any instant ends in the same bytes as one that was left alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parents[1]


def drive(*arguments: str) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}"}
    command = [sys.executable, str(TESTS / "training_driver.py"), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


OPTIONS: list[dict[str, Any]] = [
    {"train": {"max_steps": 60, "save_every": 2, "validate_every": 5, "keep_last": 2}},
    {"train": {"max_steps": 60, "save_every": 3, "ema_decay": 0.9, "accumulate": 2, "workers": 1}},
]


@pytest.mark.parametrize("options", OPTIONS, ids=["validated", "running mean"])
def test_ten_kills_end_in_the_bytes_of_an_uninterrupted_run(tmp_path: Path, options: dict[str, Any]) -> None:
    options = {**options, "model": {"delay": 0.01}}
    drive("train", str(tmp_path / "whole"), json.dumps(options))
    told = json.loads(drive("kill", str(tmp_path / "killed"), json.dumps(options), "7", "10").splitlines()[-1])
    assert told["killed"] == 10, "the run ended before it was killed ten times: it must take longer"
    for name in ("model.safetensors", *last_checkpoint_files(tmp_path / "whole")):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    assert not list((tmp_path / "killed").rglob("*.unfinished"))


def last_checkpoint_files(run: Path) -> list[str]:
    last = max((run / "checkpoints").iterdir())
    return [str((last / name).relative_to(run)) for name in ("model.safetensors", "training.safetensors")]


def losses(run: Path) -> list[tuple[str, int, float]]:
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [(record["split"], record["step"], record["loss"]) for record in records]
