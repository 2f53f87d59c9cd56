"""Pictures of many records by real processes: killed, continued by two ranks, and the same as never stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_pictures import NAMES, write_painter

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
COUNT = 12


def command(folder: Path, output: str) -> list[str]:
    options = ["decoder.num_inference_steps=2", "--max-rows", "2", "--device", "cpu"]
    files = ["--input", str(folder / "wishes.jsonl"), "--output", str(folder / output)]
    return ["-m", "unilatent", "draw", str(folder / "painter"), *options, *files]


def contents(folder: Path) -> dict[str, Any]:
    """The pixels of all pictures, and the lines of the manifest."""
    pixels = {path.name: np.asarray(Image.open(path)).tolist() for path in folder.glob("*.png")}
    return pixels | {"manifest": (folder / "manifest.jsonl").read_text(encoding="utf-8")}


@pytest.mark.slow
def test_a_killed_job_that_two_ranks_continue_ends_as_one_that_was_not(tmp_path: Path) -> None:
    write_painter(tmp_path)
    lines = [{"id": f"p{index}", "text": NAMES[index % len(NAMES)], "seed": index} for index in range(COUNT)]
    (tmp_path / "wishes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    killed = subprocess.Popen([sys.executable, *command(tmp_path, "out")], env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not list((tmp_path / "out").glob("p*.png")) and time.monotonic() < until:
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert 0 < len(list((tmp_path / "out").glob("p*.png"))) < COUNT

    ranks = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    result = subprocess.run(
        [sys.executable, *ranks, *command(tmp_path, "out")],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "already there" in result.stderr
    subprocess.run([sys.executable, *command(tmp_path, "whole")], env=ENVIRONMENT, check=True, capture_output=True)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
