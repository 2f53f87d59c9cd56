"""Transcribing many recordings by real processes: killed, continued by two ranks, and the same as never stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("soundfile")
pytest.importorskip("soxr")
import tiny_listener

from latent.audio.files import write_audio

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def command(folder: Path, output: str) -> list[str]:
    options = ["decoder.extra_tokens=40", "--max-rows", "2", "--device", "cpu"]
    files = ["--input", str(folder / "audio"), "--output", str(folder / output)]
    return ["-m", "unilatent", "transcribe", str(folder / "listener"), *options, *files]


def done(folder: Path) -> int:
    """Bytes of the parts of the job."""
    parts = (folder / "out.jsonl.parts").glob("*") if (folder / "out.jsonl.parts").exists() else ()
    return sum(path.stat().st_size for path in parts if path.exists())


@pytest.mark.parametrize("times", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_a_job_that_is_killed_again_and_again_ends_as_one_that_was_not(tmp_path: Path, times: int) -> None:
    tiny_listener.write_listener(tmp_path / "listener")
    for number in range(8 + 2 * times):
        noise = np.random.default_rng(number).standard_normal(2000 + 700 * (number * 5 % 12))
        write_audio(tmp_path / f"audio/r{number:02d}.wav", (0.1 * noise).astype(np.float32), 8000)

    kills = 0
    for _ in range(times):
        before = done(tmp_path)
        arguments = [sys.executable, *command(tmp_path, "out.jsonl")]
        process = subprocess.Popen(arguments, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while process.poll() is None and done(tmp_path) <= before and time.monotonic() < until:
            time.sleep(0.005)
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    assert kills == times

    ranks = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    result = subprocess.run(
        [sys.executable, *ranks, *command(tmp_path, "out.jsonl")],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    whole = [sys.executable, *command(tmp_path, "whole.jsonl")]
    subprocess.run(whole, env=ENVIRONMENT, check=True, capture_output=True)
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not list(tmp_path.glob("out.jsonl.*.jsonl")), "no errors"
    assert not (tmp_path / "out.jsonl.parts").exists()
