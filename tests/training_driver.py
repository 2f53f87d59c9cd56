"""Run as a script: trains the toy of toy_parts.py into a folder, alone, under torchrun, or killed again and again.

    python training_driver.py train RUN JSON          one call of train_run, with the changes of the configuration
    python training_driver.py kill RUN JSON SEED N    call it in child processes; N of them are killed at random times

With STOP_AT=5 in the environment, the first rank gets a SIGTERM when it has logged update 5.
"""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import sys
import time
from typing import Any

import toy_parts

from s2s.run import parse_config, train_run
from s2s.training.logging import TrainingLog


def stop_at(step: int) -> None:
    original = TrainingLog.train

    def train_and_signal(self: TrainingLog, record: dict[str, Any], seconds_left: float) -> None:
        original(self, record, seconds_left)
        if record["step"] == step and os.environ.get("RANK", "0") == "0":
            os.kill(os.getpid(), signal.SIGTERM)

    TrainingLog.train = train_and_signal  # type: ignore[method-assign]


def train(run: str, changes: dict[str, Any]) -> int:
    result = train_run(parse_config(toy_parts.tree(**changes)), run)
    return 128 + result.signal if result.signal else 0


def in_child(run: str, changes: dict[str, Any]) -> int:
    """The process id of a child that trains."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = train(run, changes)
        finally:
            os._exit(status)
    return child


def kill_again_and_again(run: str, changes: dict[str, Any], seed: int, times: int) -> None:
    generator = random.Random(seed)
    killed = 0
    while True:
        child = in_child(run, changes)
        if killed < times:
            time.sleep(generator.uniform(0.02, 0.4))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            killed += 1
            continue
        assert os.WEXITSTATUS(status) == 0, f"the training process failed with {status}"
        print(json.dumps({"killed": killed}))
        return


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    verb, folder, options, *rest = sys.argv[1:]
    stop_at(int(os.environ.get("STOP_AT", "0")))
    if verb == "train":
        sys.exit(train(folder, json.loads(options)))
    kill_again_and_again(folder, json.loads(options), *map(int, rest))
