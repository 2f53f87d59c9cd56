"""The choice between MKL and oneDNN."""

import json
from pathlib import Path

import pytest
import torch

from s2s.nn import linear, products


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(products, "_library", None)
    monkeypatch.delenv(products.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_the_choice_is_timed_once_and_kept_for_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = []
    monkeypatch.setattr(products, "faster", lambda: timed.append(1) or "mkl")
    assert products.library() == products.library() == "mkl"
    monkeypatch.setattr(products, "_library", None)
    assert products.library() == "mkl"
    assert len(timed) == 1
    monkeypatch.setattr(products, "_library", None)
    monkeypatch.setattr(products, "_machine", lambda: "another one")
    assert products.library() == "mkl"
    assert len(timed) == 2
    assert len(json.loads(products.cache_file().read_text())) == 2


@pytest.mark.parametrize("content", ["", "[]", "{", '{"machine": "abacus"}', "7"])
def test_a_broken_cache_is_made_again(content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "faster", lambda: "onednn")
    monkeypatch.setattr(products, "_machine", lambda: "machine")
    products.cache_file().parent.mkdir(parents=True)
    products.cache_file().write_text(content)
    assert products.library() == "onednn"
    assert json.loads(products.cache_file().read_text()) == {"machine": "onednn"}


def test_a_cache_that_cannot_be_written_is_no_obstacle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(products, "faster", lambda: "mkl")
    assert products.library() == "mkl"


@pytest.mark.parametrize("name", ["mkl", "onednn"])
def test_the_environment_decides_without_timing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "faster", lambda: pytest.fail("timed"))
    monkeypatch.setenv(products.VARIABLE, name)
    assert products.library() == name


@pytest.mark.skipif(not linear.is_for_onednn(torch.empty(1)), reason="torch was built without oneDNN")
def test_both_libraries_can_be_timed_and_agree_within_rounding() -> None:
    assert products.faster() in ("mkl", "onednn")
    torch.manual_seed(0)
    layer, x = linear.Linear(24, 56), torch.randn(5, 24)
    found = []
    for name in ("mkl", "onednn"):
        products.use(name)
        found.append(layer(x))
    torch.testing.assert_close(found[0], found[1], atol=1e-6, rtol=1e-5)
