"""torchrun on two nodes, as two process groups of this machine, does what one process does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny_decoding as tiny

TESTS = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


def on_two_nodes(processes: int, *program: Any) -> None:
    """Start a program as torchrun does on each of two machines, which meet at a port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    meeting = ["--nnodes=2", f"--nproc-per-node={processes}", "--master-addr=127.0.0.1", f"--master-port={port}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}"}
    nodes = [
        subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", *meeting, f"--node-rank={node}", *map(str, program)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for node in (0, 1)
    ]
    errors = [node.communicate(timeout=300)[1] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], errors


def losses(run: Path) -> list[float]:
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [record["loss"] for record in records if record["split"] == "train"]


def test_two_nodes_of_two_processes_decode_what_one_process_decodes(tmp_path: Path) -> None:
    source, two, one = tmp_path / "in.jsonl", tmp_path / "two.jsonl", tmp_path / "one.jsonl"
    tiny.write_input(source, 60)
    on_two_nodes(2, tiny.__file__, source, two, 0, 0)
    tiny.decode(source, one)
    assert [json.loads(line)["tgt"] for line in two.open()] == [json.loads(line)["tgt"] for line in one.open()]
    assert Path(f"{two}.errors.jsonl").read_bytes() == Path(f"{one}.errors.jsonl").read_bytes()


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_nodes_train_as_one_process_does(tmp_path: Path, parallel: str) -> None:
    driver, changes = TESTS / "training_driver.py", {"task": {"train": 29}}
    options = json.dumps({**changes, "train": {"accumulate": 2}})
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}"}
    alone = [sys.executable, str(driver), "train", str(tmp_path / "one"), options]
    subprocess.run(alone, env=environment, check=True, timeout=300)
    on_two_nodes(1, driver, "train", tmp_path / "two", json.dumps({**changes, "train": {"parallel": parallel}}))
    assert len(losses(tmp_path / "one")) == 20
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-5)
