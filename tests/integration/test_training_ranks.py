"""One process and several ranks, with DDP and with FSDP2, are the same training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny_pairs

from s2s.config import write_tree

TESTS = Path(__file__).parents[1]


def train(run: Path, ranks: int, stop_at: int = 0, **changes: Any) -> int:
    """Train the toy on a number of ranks; the exit status."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "STOP_AT": str(stop_at)}
    environment["PYTHONPATH"] = f"{TESTS.parent}{os.pathsep}{TESTS}"
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"] if ranks > 1 else []
    command = [sys.executable, *launcher, str(TESTS / "training_driver.py"), "train", str(run), json.dumps(changes)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    (run.parent / f"{run.name}.stderr").write_text(done.stderr)
    return done.returncode


def losses(run: Path, split: str = "train") -> list[float]:
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [record["loss"] for record in records if record["split"] == split]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process with two micro-batches an update. 5 batches an epoch: the last update has one batch for two ranks."""
    run = tmp_path_factory.mktemp("alone") / "run"
    assert train(run, ranks=1, **UNEVEN, train={"accumulate": 2, **MEAN}) == 0
    return run


UNEVEN: dict[str, Any] = {"task": {"train": 29}}
MEAN = {"ema_decay": 0.9, "validate_every": 4}


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_ranks_log_the_losses_of_one_process(tmp_path: Path, alone: Path, parallel: str) -> None:
    assert train(tmp_path / "run", ranks=2, **UNEVEN, train={"parallel": parallel, **MEAN}) == 0
    for split, count in (("train", 20), ("valid", 5)):
        expected = losses(alone, split)
        assert len(expected) == count
        assert losses(tmp_path / "run", split) == pytest.approx(expected, abs=1e-5)


def test_run_of_two_ranks_goes_on_with_one_and_back(tmp_path: Path, alone: Path) -> None:
    """FSDP2 on two ranks to update 7, one process to update 13, DDP on two ranks to the end."""
    run = tmp_path / "run"
    for ranks, parallel, stop in ((2, "fsdp", 7), (1, "ddp", 13), (2, "ddp", 0)):
        options = {"parallel": parallel, "accumulate": 2 // ranks, **MEAN}
        status = train(run, ranks, stop, **UNEVEN, train=options)
        assert (status == 0) == (stop == 0), (tmp_path / "run.stderr").read_text()[-3000:]
    for split in ("train", "valid"):
        assert losses(run, split) == pytest.approx(losses(alone, split), abs=1e-5)


def test_record_that_is_no_number_on_one_rank_stops_all_with_its_id(tmp_path: Path) -> None:
    changes = {"task": {"poison": 13}, "train": {"max_sentences": 3}}
    assert train(tmp_path / "run", ranks=2, **changes) != 0
    message = (tmp_path / "run.stderr").read_text()
    assert "the loss is not finite, in the batch of the records" in message
    assert "record-13" in message


def train_pairs(folder: Path, name: str) -> list[dict[str, Any]]:
    """Train my.yaml in a folder by the process `one`, or two ranks with half of the batches each; the log."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"] if name == "two" else []
    command = [sys.executable, *launcher, "-m", "unilatent", "train", "my.yaml", "--output", name]
    command += [f"train.accumulate={1 if launcher else 2}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(TESTS.parent)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in (folder / name / "log.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("criterion", "parallel", "losses"),
    [
        ("relation", "ddp", ("loss",)),
        ("layerwise", "ddp", ("hidden", "logits")),
        ("logit", "fsdp", ("loss", "divergence")),
    ],
)
def test_two_ranks_with_a_teacher_learn_as_one_process_does(
    tmp_path: Path, criterion: str, parallel: str, losses: tuple[str, ...]
) -> None:
    """DDP, which must expect that the student's last layer and head get no gradient; a criterion with weights; FSDP."""
    write_tree(tiny_pairs.tree(tmp_path, train={"max_steps": 4}), tmp_path / "my.yaml")
    train_pairs(tmp_path, "one")
    (tmp_path / "one").rename(tmp_path / "teacher")
    student = tiny_pairs.tree(tmp_path, model={"hidden_size": 16}, train={"max_steps": 6, "parallel": parallel})
    student["criterion"] = {"name": f"{criterion}_distillation", "teacher": str(tmp_path / "teacher")}
    write_tree(student, tmp_path / "my.yaml")
    one, two = (train_pairs(tmp_path, name) for name in ("one", "two"))
    assert len(one) > 6
    for name in losses:
        assert [record[name] for record in two] == pytest.approx([record[name] for record in one], abs=1e-5)


@pytest.mark.slow
def test_ranks_share_the_decoding_at_validation_and_choose_the_same(tmp_path: Path) -> None:
    """FSDP2 on two ranks, each with its batches of outputs of different lengths, and one process."""
    pytest.importorskip("rouge_score")
    options = {"keep_best_by": "rouge_1", "generate_examples": 40, "max_steps": 12, "parallel": "fsdp", "patience": 9}
    write_tree(tiny_pairs.tree(tmp_path, valid=70, train=options), tmp_path / "my.yaml")
    one, two = (train_pairs(tmp_path, name) for name in ("one", "two"))
    for name in ("loss", "rouge_1"):
        expected = [record[name] for record in one if name in record]
        assert [record[name] for record in two if name in record] == pytest.approx(expected, abs=1e-3)
    assert [record["samples"] for record in one if "samples" in record] == [
        record["samples"] for record in two if "samples" in record
    ]
