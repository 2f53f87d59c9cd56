"""Work on Ray clusters of this machine: workers and nodes that are lost, and clusters that want the same output."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import tiny_decoding as tiny
import tiny_voice
import torch

pytest.importorskip("ray")
import ray_cluster

from latent.synthesis.on_cluster import synthesize_on_cluster
from latent.synthesis.records import synthesize_records
from latent.synthesis.requests import Wishes, read_requests
from s2s.cluster.pool import ClusterOptions
from s2s.durable import claimed
from s2s.errors import InputError
from s2s.ranks import Ranks

pytestmark = pytest.mark.slow


def written(path: Path) -> list[bytes]:
    return [Path(f"{path}{end}").read_bytes() for end in ("", ".errors.jsonl", ".state.json")]


def test_killed_workers_lose_nothing(tmp_path: Path) -> None:
    source, alone, pids = tmp_path / "in.jsonl", tmp_path / "alone.jsonl", tmp_path / "pids"
    tiny.write_input(source, 4000)
    pids.mkdir()
    ray_cluster.decode_alone(source, alone)
    killer = ray_cluster.Killer(pids, kills=2, seed=1, pause=2.0)
    with ray_cluster.connected():
        killer.start()
        ray_cluster.decode(source, tmp_path / "out.jsonl", pids)
    assert killer.killed
    assert written(tmp_path / "out.jsonl") == written(alone)


def test_killed_workers_lose_no_speech(tmp_path: Path) -> None:
    tiny_voice.write_voice(tmp_path)
    (tmp_path / "pids").mkdir()
    records = [{"id": f"r{number}", "text": f"Line {number}.", "speaker": "ann"} for number in range(40)]
    (tmp_path / "lines.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    voice = ray_cluster.open_slow_voice(tmp_path / "voice", device=torch.device("cpu"))
    wanted = read_requests(voice, tmp_path / "lines.jsonl", Wishes())
    alone, output = tmp_path / "alone", tmp_path / "speech"
    synthesize_records(voice, wanted, alone, Ranks(0, 1, torch.device("cpu")), max_rows=2)
    killer = ray_cluster.Killer(tmp_path / "pids", kills=2, seed=1, pause=1.0)
    with ray_cluster.connected():
        killer.start()
        open = functools.partial(ray_cluster.open_slow_voice, tmp_path / "voice", tmp_path / "pids")
        cluster = ClusterOptions(workers=2, device="cpu")
        synthesize_on_cluster(open, voice, wanted, output, cluster, max_rows=2)
    assert killer.killed
    assert tiny_voice.contents(output) == tiny_voice.contents(alone)


def test_a_lost_node_loses_nothing(tmp_path: Path) -> None:
    source, alone, output, pids = (tmp_path / name for name in ("in.jsonl", "alone.jsonl", "out.jsonl", "pids"))
    tiny.write_input(source, 8000)
    pids.mkdir()
    ray_cluster.decode_alone(source, alone)
    with ray_cluster.connected_to_nodes(2) as (cluster, nodes):

        def lose_a_node() -> None:
            while not output.exists() or not output.stat().st_size or len([*pids.iterdir()]) < 3:
                time.sleep(0.05)
            cluster.remove_node(nodes[1], allow_graceful=False)

        loser = threading.Thread(target=lose_a_node, daemon=True)
        loser.start()
        ray_cluster.decode(source, output, pids)
        loser.join(timeout=60)
        assert not loser.is_alive(), "the node was lost while both worked"
    assert written(output) == written(alone)


def test_two_clusters_cannot_write_one_output(tmp_path: Path) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    tiny.write_input(source, 10)
    with claimed(output), pytest.raises(InputError, match=r"out\.jsonl: another process is writing it"):
        ray_cluster.decode(source, output)


def test_ray_train_starts_a_run_of_two_processes(tmp_path: Path) -> None:
    repo = Path(__file__).parents[2]
    smaller = ["train.epochs=null", "train.max_steps=2", "train.workers=0", "train.log_every=1"]
    command = [sys.executable, repo / "examples/cluster/ray_train.py", repo / "s2s/configs/quickstart.yaml"]
    command += [tmp_path / "run", f"model.init={repo / 'tests/regression/data/run'}", *smaller, "--workers", "2"]
    environment = {**os.environ, "RAY_ADDRESS": "local", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(repo)}
    done = subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "2 ranks on cpu" in done.stdout + done.stderr
    logged = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in logged if record["split"] == "train"] == [1, 2]
