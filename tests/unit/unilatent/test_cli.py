"""How the command ends: one line and a status for what users cause, a traceback for what is our mistake."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
from command_line import unilatent

from s2s.errors import InputError
from s2s.nn import products
from unilatent import cli


def end_of(monkeypatch: pytest.MonkeyPatch, verb: Callable[[], None]) -> Any:
    """The exit status, or the line on standard error, of a command line with one verb."""
    app = typer.Typer()
    app.command("verb")(verb)
    app.callback()(lambda: None)
    monkeypatch.setattr(cli, "build_app", lambda: app)
    monkeypatch.setattr(sys, "argv", ["unilatent", "verb"])
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ending:
            cli.main()
    finally:
        signal.signal(signal.SIGTERM, before)
        logging.getLogger().handlers.clear()
    return ending.value.code


def raising(error: BaseException) -> Callable[[], None]:
    def verb() -> None:
        raise error

    return verb


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("a.jsonl:3: broken"), "error: a.jsonl:3: broken"),
        (OSError(28, "No space left on device", "out/x"), "error: out/x: No space left on device"),
        (PermissionError(13, "Permission denied", "\n" * 3 + "x" * 5000), r"error: \n\n\nxxx"),
        (FileNotFoundError(2, "No such file or directory"), "error: No such file or directory"),
        (MemoryError(), "error: out of memory; try smaller batches"),
        (Exception("No space left on device (os error 28)"), "error: No space left on device"),
        (
            RuntimeError("CPUAllocator: can't allocate memory: you tried to allocate 99 bytes.\nException"),
            "error: out of memory; .*99 bytes",
        ),
        (RecursionError("maximum recursion depth exceeded"), "error: the input is nested too deeply"),
    ],
)
def test_what_users_and_machines_cause_is_one_line(
    error: Exception, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    message = end_of(monkeypatch, raising(error))
    assert message.startswith(line.partition(".*")[0])
    assert message.endswith(line.rpartition(".*")[2] if ".*" in line else "") or "99 bytes" in message
    assert len(message) <= 310
    assert "\n" not in message
    assert capsys.readouterr().err == ""


def test_out_of_memory_on_a_gpu_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    message = end_of(monkeypatch, raising(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")))
    assert "Tried to allocate 2 GiB" in message


def test_a_mistake_of_ours_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    message = end_of(monkeypatch, raising(KeyError("tokens")))
    assert message == "error: this is a bug in unilatent, not your mistake; please report it with the lines above"
    assert "KeyError: 'tokens'" in capsys.readouterr().err


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert end_of(monkeypatch, raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err.strip() == "interrupted"


def test_sigterm_ends_with_143(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert end_of(monkeypatch, lambda: os.kill(os.getpid(), signal.SIGTERM)) == 143
    assert capsys.readouterr().err.strip() == "terminated"


def test_only_one_rank_prints_the_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert end_of(monkeypatch, raising(InputError("broken"))) == 1


def test_success_and_status_of_a_verb(monkeypatch: pytest.MonkeyPatch) -> None:
    assert end_of(monkeypatch, lambda: None) in (None, 0)
    assert end_of(monkeypatch, raising(SystemExit(5))) == 5


def test_version_and_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for option, expected in (("--version", version("unilatent")), ("--help", "speech")):
        monkeypatch.setattr(sys, "argv", ["unilatent", option])
        with pytest.raises(SystemExit) as ending:
            cli.main()
        assert ending.value.code in (None, 0)
        assert expected in capsys.readouterr().out


@pytest.mark.parametrize("given", [None, "onednn"])
def test_no_tuning_takes_the_library_of_torch_unless_the_variable_says_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str | None
) -> None:
    monkeypatch.setattr(products, "_library", None)
    monkeypatch.setattr(products, "faster", lambda: pytest.fail("must not be timed"))
    monkeypatch.delenv(products.VARIABLE, raising=False)
    if given is not None:
        monkeypatch.setenv(products.VARIABLE, given)
    (tmp_path / "in.txt").write_text("reads text\n")
    run = Path(__file__).parents[2] / "regression/data/run"
    unilatent("decode", run, "--input", tmp_path / "in.txt", "--output", tmp_path / "out.txt", "--no-tuning")
    assert products.library() == (given or "mkl")
