"""float16 training: the scale of the loss changes no number, and gradients that overflow skip their update."""

from __future__ import annotations

import json
import logging
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from s2s import checkpoint
from s2s.errors import InputError
from s2s.run import TrainResult, parse_config, train_run
from s2s.training import trainer
from s2s.training.loss_scale import LossScale
from s2s.training.state import Progress

TESTS = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _toy_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TESTS))


def train(run: Path, **changes: Any) -> TrainResult:
    import toy_parts

    changes["train"] = {"precision": "float16", **changes.get("train", {})}
    return train_run(parse_config(toy_parts.tree(**changes)), run)


def losses(run: Path) -> list[float]:
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [record["loss"] for record in records if record["split"] == "train"]


def test_float16_learns_as_float32_does(tmp_path: Path) -> None:
    train(tmp_path / "half")
    train(tmp_path / "float32", train={"precision": "float32"})
    assert losses(tmp_path / "half") != losses(tmp_path / "float32")
    assert losses(tmp_path / "half")[-1] == pytest.approx(losses(tmp_path / "float32")[-1], rel=0.2)


def test_the_scale_changes_no_digit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float32, where no gradient is lost: torch has no half precision for the toy that would be exact."""
    train(tmp_path / "plain", train={"precision": "float32"})
    progress = partial(Progress, loss_scale=LossScale(2.0**20))
    monkeypatch.setattr(trainer, "Progress", lambda loss_scale: progress())
    train(tmp_path / "scaled", train={"precision": "float32"})
    assert losses(tmp_path / "scaled") == losses(tmp_path / "plain")


def test_gradients_that_overflow_skip_the_update_and_halve_the_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(trainer, "LossScale", partial(LossScale, 2.0**130))
    options = {"train": {"save_every": 1, "keep_last": 20, "max_steps": 6, "validate_every": 6}}
    with caplog.at_level(logging.INFO):
        train(tmp_path, optim={"warmup_steps": 0}, **options)
    assert f"update 1: the gradients overflowed; skipped, loss scale {2.0**129:g}" in caplog.text
    first, second = (
        checkpoint.read_tensors(tmp_path / f"checkpoints/step-{step:06d}/model.safetensors") for step in (1, 2)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    saved = Progress.read(tmp_path / "checkpoints/step-000006").loss_scale
    assert saved is not None
    assert saved.value < 2.0**130
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert records[0]["grad_norm"] is None
    assert records[0]["loss"] > 0


def test_scale_is_saved_and_restored_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "LossScale", partial(LossScale, 2.0**10, patience=3))
    optim = {"schedule": "constant"}
    train(tmp_path / "whole", optim=optim)
    train(tmp_path / "parts", optim=optim, train={"max_steps": 11})
    train(tmp_path / "parts", optim=optim)
    whole, parts = (Progress.read(tmp_path / name / "checkpoints/step-000020") for name in ("whole", "parts"))
    assert whole.loss_scale == parts.loss_scale == LossScale(2.0**16, good_updates=2, patience=3)
    assert (tmp_path / "whole/model.safetensors").read_bytes() == (tmp_path / "parts/model.safetensors").read_bytes()


def test_loss_that_is_no_number_is_refused_in_float16_too(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"update \d+: the loss is not finite, in the batch of the records"):
        train(tmp_path, task={"poison": 13})


@given(st.lists(st.booleans(), max_size=60))
def test_scale_stays_a_power_of_two_and_grows_only_after_good_updates(finite: list[bool]) -> None:
    scale = LossScale(patience=5)
    for good in finite:
        before = scale.value
        scale.adapt(good)
        assert scale.value in (before, before / 2, before * 2)
        assert (scale.value < before) == (not good)
        assert scale.value.hex().startswith("0x1.0000000000000p")
    assert scale.is_exhausted == (scale.value < 1)
