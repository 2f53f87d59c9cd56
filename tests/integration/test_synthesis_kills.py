"""Speech of many records by real processes: killed, continued by two ranks, and the same as never stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("soundfile")
import tiny_voice

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def command(folder: Path, output: str) -> list[str]:
    options = ["decoder.num_inference_steps=1", "decoder.stop_threshold=1", "--max-rows", "2", "--device", "cpu"]
    files = ["--input", str(folder / "lines.jsonl"), "--output", str(folder / output)]
    return ["-m", "unilatent", "synthesize", str(folder / "voice"), *options, *files]


def test_a_killed_job_that_two_ranks_continue_ends_as_one_that_was_not(tmp_path: Path) -> None:
    tiny_voice.write_voice(tmp_path)
    lines = [{"id": f"r{index}", "text": "So" * (1 + index % 2), "speaker": "ann"} for index in range(8)]
    (tmp_path / "lines.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    killed = subprocess.Popen([sys.executable, *command(tmp_path, "out")], env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not list((tmp_path / "out").glob("r*.wav")) and time.monotonic() < until:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert 0 < len(list((tmp_path / "out").glob("r*.wav"))) < 8

    ranks = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    result = subprocess.run(
        [sys.executable, *ranks, *command(tmp_path, "out")],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "already there, " in result.stderr
    subprocess.run([sys.executable, *command(tmp_path, "whole")], env=ENVIRONMENT, check=True, capture_output=True)
    assert tiny_voice.contents(tmp_path / "out") == tiny_voice.contents(tmp_path / "whole")
