"""Learning curves from the log.jsonl of runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from s2s.errors import InputError
from unilatent.commands.evaluate import app


def make_run(folder: Path, records: list[dict[str, Any]]) -> Path:
    folder.mkdir()
    (folder / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def losses(start: float) -> list[dict[str, Any]]:
    training = [{"split": "train", "step": n, "loss": start / n, "lr": 0.1} for n in range(1, 9)]
    return [*training, {"split": "valid", "step": 8, "loss": start / 7}]


def test_a_picture_of_two_runs_is_drawn(tmp_path: Path) -> None:
    first, second = make_run(tmp_path / "a", losses(4.0)), make_run(tmp_path / "b", losses(6.0)[:-1])
    output = tmp_path / "curve.png"
    result = CliRunner().invoke(app, ["curve", str(first), f"other={second}", "--output", str(output)])
    assert result.exit_code == 0
    assert output.read_bytes().startswith(b"\x89PNG")


def test_a_run_of_several_losses_has_a_curve_for_each(tmp_path: Path) -> None:
    parts = [{"split": "train", "step": n, "token_loss": 3.0 / n, "latent_loss": 1.0 / n} for n in (1, 2)]
    run = make_run(tmp_path / "voice", parts)
    result = CliRunner().invoke(app, ["curve", f"voice={run}", "--output", str(tmp_path / "curve.svg")])
    assert result.exit_code == 0
    legend = (tmp_path / "curve.svg").read_text()
    assert "<!-- voice token_loss, training -->" in legend
    assert "<!-- voice latent_loss, training -->" in legend


def test_outputs_and_their_metric_are_no_losses(tmp_path: Path) -> None:
    records = [*losses(4.0), {"split": "samples", "step": 8, "samples": []}]
    records[-2]["rouge_l"] = 20.0
    run = make_run(tmp_path / "run", records)
    result = CliRunner().invoke(app, ["curve", str(run), "--output", str(tmp_path / "curve.svg")])
    assert result.exit_code == 0
    legend = (tmp_path / "curve.svg").read_text()
    assert "<!-- run, validation -->" in legend
    assert "rouge" not in legend


def test_a_log_that_was_cut_off_by_a_kill_is_drawn(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", losses(4.0))
    with (run / "log.jsonl").open("a") as log:
        log.write('{"split": "train", "st')
    result = CliRunner().invoke(app, ["curve", str(run), "--output", str(tmp_path / "curve.png")])
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([], r"log.jsonl: the file is empty"),
        ([{"split": "test", "step": 1, "loss": 1}], r"log.jsonl:1: 'split' must be 'train' or 'valid', found a string"),
        ([{"split": "train", "step": 1}], r"log.jsonl:1: 'loss' must be a number, found null"),
        ([{"split": "valid", "step": 1, "loss": 2}], r"log.jsonl: no training loss in it; expected the log of a run"),
    ],
)
def test_broken_logs_are_named(tmp_path: Path, records: list[dict[str, Any]], message: str) -> None:
    run = make_run(tmp_path / "run", records)
    with pytest.raises(InputError, match=message):
        CliRunner().invoke(app, ["curve", str(run)], catch_exceptions=False)


def test_a_missing_run_and_a_wrong_picture_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing/log.jsonl: cannot be read: No such file"):
        CliRunner().invoke(app, ["curve", str(tmp_path / "nothing")], catch_exceptions=False)
    run = make_run(tmp_path / "run", losses(2.0))
    with pytest.raises(InputError, match=r"--output: cannot write the picture x.docx: .*not supported"):
        CliRunner().invoke(app, ["curve", str(run), "--output", "x.docx"], catch_exceptions=False)


def test_a_missing_matplotlib_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    run = make_run(tmp_path / "run", losses(2.0))
    with pytest.raises(InputError, match=r'^matplotlib is not installed; .* pip install "unilatent\[plot\]"$'):
        CliRunner().invoke(app, ["curve", str(run)], catch_exceptions=False)
