"""Ray clusters on this machine: of one node, or of several, some of which are lost. As a program, decodes with kills.

python tests/ray_cluster.py LINES KILLS SEED ROUNDS: decodes with two workers, KILLS of which are killed at random.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import tiny_decoding as tiny
import torch

from latent.synthesis.voice import Voice
from latent.synthesis.voices import open_voice
from s2s.cluster import decoding
from s2s.cluster.pool import ClusterOptions
from s2s.generation.decode import DecodeOptions, Summary
from s2s.generation.generator import Generator

SMALL = {"window": 100, "max_tokens": 400, "max_sentences": 20}


def load(device: str, seconds: float = 0.0, pids: str | None = None) -> Generator:
    """The tiny generator; a worker leaves its process id in a folder, and may be slow."""
    torch.set_num_threads(1)
    if pids is not None:
        Path(pids, str(os.getpid())).touch()
    time.sleep(seconds)
    return tiny.generator_of_words(tiny.beam(), {"decoder": {"beam_size": 3}})


def open_slow_voice(folder: Path, pids: Path | None = None, *, device: torch.device) -> Voice:
    """A voice of tests that takes a moment for each batch; a worker leaves its process id in a folder."""
    torch.set_num_threads(1)
    if pids is not None:
        Path(pids, str(os.getpid())).touch()
    voice: Any = open_voice(folder, device=device, overrides=["decoder.num_inference_steps=2", "decoder.min_frames=4"])
    stream = voice.stream

    def slowly(*given: Any) -> Iterator[Any]:
        time.sleep(0.2)
        yield from stream(*given)

    voice.stream = slowly
    return cast(Voice, voice)


def decode(source: Path, output: Path, pids: Path | None = None, **options: Any) -> Summary:
    """Decode on the cluster that is connected, with two workers."""
    cluster = ClusterOptions(**{"workers": 2, "device": "cpu", **options.pop("cluster", {})})
    small = DecodeOptions(**{**SMALL, **options})
    return decoding.decode_on_cluster(functools.partial(load, pids=pids and str(pids)), source, output, small, cluster)


def decode_alone(source: Path, output: Path, **options: Any) -> Summary:
    """What one process writes."""
    return tiny.decode(source, output, **{**SMALL, **options})


@contextlib.contextmanager
def connected(cpus: int = 2) -> Iterator[Any]:
    """A cluster of one node."""
    import ray

    small = {"include_dashboard": False, "log_to_driver": False, "object_store_memory": 100 * 2**20}
    ray.init("local", num_cpus=cpus, runtime_env=_modules_of_tests(), **small)
    try:
        yield ray
    finally:
        ray.shutdown()


@contextlib.contextmanager
def connected_to_nodes(count: int) -> Iterator[tuple[Any, list[Any]]]:
    """A cluster of a head without workers, and nodes of one CPU each."""
    import ray
    from ray.cluster_utils import Cluster

    memory = {"object_store_memory": 100 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **memory})
    nodes = [cluster.add_node(num_cpus=1, **memory) for _ in range(count)]
    ray.init(address=cluster.address, log_to_driver=False, runtime_env=_modules_of_tests())
    try:
        yield cluster, nodes
    finally:
        ray.shutdown()
        cluster.shutdown()


def _modules_of_tests() -> dict[str, Any]:
    """What lets workers import this module, which pytest has found by a path of its own."""
    return {"env_vars": {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])}}


class Killer(threading.Thread):
    """Kills workers at random moments, by the process ids that they leave in a folder."""

    def __init__(self, pids: Path, kills: int, seed: int, pause: float) -> None:
        super().__init__(daemon=True)
        self._pids, self._kills, self._random, self._pause = pids, kills, random.Random(seed), pause
        self.killed = 0

    def run(self) -> None:
        while self.killed < self._kills:
            time.sleep(self._random.uniform(0, self._pause))
            alive = [int(path.name) for path in self._pids.iterdir()]
            if alive:
                pid = self._random.choice(sorted(alive))
                (self._pids / str(pid)).unlink()
                if pid != os.getpid():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                        self.killed += 1


def main(lines: int, kills: int, seed: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder, connected():
        source, alone = Path(folder, "in.jsonl"), Path(folder, "alone.jsonl")
        tiny.write_input(source, lines, seed)
        begun = time.monotonic()
        torch.set_num_threads(1)
        decode_alone(source, alone)
        print(f"{lines} lines, one process: {time.monotonic() - begun:.1f} s", flush=True)
        expected = [Path(f"{alone}{end}").read_bytes() for end in ("", ".errors.jsonl", ".state.json")]
        for number in range(rounds):
            output, pids = Path(folder, f"out{number}.jsonl"), Path(folder, f"pids{number}")
            pids.mkdir()
            killer = Killer(pids, kills, seed + number, pause=6.0)
            killer.start()
            begun = time.monotonic()
            decode(source, output, pids)
            made = [Path(f"{output}{end}").read_bytes() for end in ("", ".errors.jsonl", ".state.json")]
            equal = "the files of one process" if made == expected else "DIFFERENT"
            print(f"round {number + 1}: {killer.killed} killed, {time.monotonic() - begun:.1f} s, {equal}", flush=True)
            if made != expected:
                raise SystemExit(1)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main(*map(int, sys.argv[1:]))
