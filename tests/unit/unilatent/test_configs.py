"""`unilatent configs` and shipped names on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import error_of, unilatent

from s2s import shipped


def test_the_list_has_all_that_is_shipped(capsys: pytest.CaptureFixture[str]) -> None:
    unilatent("configs")
    told = capsys.readouterr().out
    for name in (*shipped.configs(), *shipped.runs(), *shipped.samples()):
        assert f"  {name} " in told
    assert "Costs: " in told


def test_a_copy_is_what_was_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, copy in (
        ("quickstart", "quickstart.yaml"),
        ("demo", "demo/MODEL_CARD.md"),
        ("sample:en", "en/DATA_CARD.md"),
    ):
        unilatent("configs", "copy", name)
        capsys.readouterr()
        unilatent("configs", "show", name)
        assert capsys.readouterr().out == Path(copy).read_text()
        assert "exists already" in error_of("configs", "copy", name)
    assert "Did you mean 'quickstart'?" in error_of("configs", "show", "quickstat")


def test_sample_data_can_be_named_wherever_a_file_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    unilatent("prepare", "subset", "sample:en", "few", "--train", "3", "--valid", "2", "--test", "1")
    assert len(Path("few/train.jsonl").read_text().splitlines()) == 3
    assert "Did you mean 'sample:en'?" in error_of("prepare", "subset", "sample:eng", "few")
