"""A script whose speaking is killed by SIGKILL, wherever it is, ends in the bytes of an uninterrupted one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("soundfile")
import tiny_voice

NUM_LINES = 120
SPEAK = """
import sys
from latent.longform.long_form import synthesize_script
from latent.synthesis.voices import open_voice

voice = open_voice(sys.argv[1], overrides=["decoder.num_inference_steps=2", "decoder.stop_threshold=0.502"])
synthesize_script(voice, sys.argv[2], sys.argv[3], picture=False, show_progress=False)
"""


def start(*arguments: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen([sys.executable, "-c", SPEAK, *map(str, arguments)], env=environment)


def finished_lines(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") - 1 if journal.exists() else 0


def test_a_kill_at_any_instant_ends_in_the_same_bytes(tmp_path: Path) -> None:
    run = tiny_voice.write_voice(tmp_path / "tiny")
    script = tmp_path / "talk.txt"
    script.write_text("".join(f"{('ann', 'bob')[n % 2]}: Line {n}, if I counted.\n" for n in range(NUM_LINES)))
    whole, killed = tmp_path / "whole.wav", tmp_path / "killed.wav"
    assert start(run, script, whole).wait(120) == 0
    journal = tmp_path / "killed.wav.journal.jsonl"
    process = start(run, script, killed)
    while finished_lines(journal) < NUM_LINES // 3:
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.001)
    process.kill()
    process.wait(60)
    assert 0 < finished_lines(journal) < NUM_LINES
    assert start(run, script, killed).wait(120) == 0
    assert killed.read_bytes() == whole.read_bytes()
