"""One interface for all places where measurements go; nothing is sent unless it was asked for."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from tiny_pairs import tree

from s2s.config import write_tree
from s2s.errors import ConfigError, InputError
from s2s.run import parse_config, train_run
from s2s.training.loggers import LOGGERS, open_loggers, read_log
from s2s.training.validation import Sample


class StandIn(types.ModuleType):
    """What we use of wandb; notes what it is given."""

    Table = dict

    def __init__(self) -> None:
        super().__init__("wandb")
        self.started: list[dict[str, Any]] = []
        self.logged: list[dict[str, Any]] = []
        self.finished = 0

    def Settings(self, **options: Any) -> dict[str, Any]:
        return options

    def init(self, **options: Any) -> StandIn:
        self.started.append(options)
        return self

    def define_metric(self, name: str, step_metric: str) -> None:
        assert (name, step_metric) == ("*", "step")

    def log(self, values: dict[str, Any]) -> None:
        self.logged.append(values)

    def finish(self) -> None:
        self.finished += 1


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn()
    monkeypatch.setitem(sys.modules, "wandb", stand_in)
    return stand_in


def train(folder: Path, **options: Any) -> None:
    train_run(parse_config(tree(folder, train={"max_steps": 4, **options})), folder / "run")


def test_every_logger_gets_what_the_file_gets(tmp_path: Path, wandb: StandIn) -> None:
    pytest.importorskip("rouge_score")
    train(tmp_path, loggers=["wandb"], keep_best_by="rouge_1", ema_decay=0.9)
    (start,) = wandb.started
    assert (start["project"], start["name"], start["dir"]) == ("unilatent", "run", str(tmp_path / "run"))
    assert start["config"]["train"]["keep_best_by"] == "rouge_1"
    assert start["settings"] == {"console": "off"}
    records = read_log(tmp_path / "run/log.jsonl")
    numbers = [record for record in records if record["split"] != "samples"]
    assert [values for values in wandb.logged if "samples" not in values] == [
        {"step": one["step"]} | {f"{one['split']}/{key}": one[key] for key in one if key not in ("split", "step")}
        for one in numbers
    ]
    (samples,) = (record["samples"] for record in records if record["split"] == "samples")
    (table,) = (values["samples"] for values in wandb.logged if "samples" in values)
    assert table["data"] == [list(sample.values()) for sample in samples]
    assert wandb.finished == 1


def test_resumed_run_keeps_its_id(tmp_path: Path, wandb: StandIn) -> None:
    train(tmp_path, loggers=["wandb"], max_steps=2)
    train(tmp_path, loggers=["wandb"], max_steps=4)
    assert wandb.started[0]["id"] == wandb.started[1]["id"]
    assert all(start["resume"] == "allow" for start in wandb.started)


def test_wandb_is_not_imported_unless_asked(tmp_path: Path) -> None:
    write_tree(tree(tmp_path, train={"max_steps": 1, "loggers": None}), tmp_path / "my.yaml")
    code = (
        "import sys; from s2s.run import load_config, train_run\n"
        "train_run(load_config('my.yaml'), 'run'); sys.exit('wandb' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, capture_output=True)


def test_missing_package_is_one_line_and_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    expected = r'^train.loggers: wandb is not installed; it comes with pip install "unilatent\[wandb\]"$'
    with pytest.raises(ConfigError, match=expected):
        train(tmp_path, loggers=["wandb"])
    assert not (tmp_path / "run").exists()


def test_service_that_refuses_is_one_line_and_leaves_no_folder(
    tmp_path: Path, wandb: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**options: Any) -> None:
        raise RuntimeError("no API key configured")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(InputError, match=r"train.loggers: wandb cannot start: no API key .*; WANDB_MODE=offline"):
        train(tmp_path, loggers=["wandb"])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", sorted(LOGGERS))
def test_real_logger_takes_numbers_and_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    pytest.importorskip(LOGGERS[name].package[0])
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    write_tree({"seed": 1}, tmp_path / "config.yaml")
    places = open_loggers([name], tmp_path, 0)
    for place in places:
        place.numbers("train", 1, {"loss": 2.5, "grad_norm": math.inf})
        place.samples(1, [Sample("a", "b", "c")])
        place.close()
    assert [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [
        {"split": "train", "step": 1, "loss": 2.5, "grad_norm": None},
        {"split": "samples", "step": 1, "samples": [{"source": "a", "reference": "b", "output": "c"}]},
    ]
    assert any(path.is_file() for path in (tmp_path / name).rglob("*events*" if name == "tensorboard" else "*.wandb"))
