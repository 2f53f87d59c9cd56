"""Code that a run brings is run only if the user says so."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from s2s.errors import ConfigError
from s2s.registry import TRUSTED, import_modules, refuse_untrusted, search_working_directory, trusting_imports


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(TRUSTED, raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    importlib.invalidate_caches()


OURS = [
    "s2s.criteria.cross_entropy",
    "unilatent.commands.speech",
    "latent",
    "data_prep.subset",
    "eval.metric",
]
OTHERS = [
    "my_lab.losses",
    "cool_model",
    "antigravity",
    "numpy.no_such_module",
    "s2s.no_such_module",
    "latent.evil",
    "s2s_evil",
    "s2s/../evil",
    "s2s./tmp/evil",
    ".evil",
    "",
]


@pytest.mark.parametrize("name", OURS)
def test_modules_of_this_distribution_need_no_word(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name != "latent":
        monkeypatch.delitem(sys.modules, name, raising=False)
    refuse_untrusted([name], "run/config.yaml")


@pytest.mark.parametrize("name", OTHERS)
def test_other_modules_are_refused_with_both_ways_out(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^run/config.yaml: imports: .*--trust-imports, or set UNILATENT_TRUST"):
        refuse_untrusted([name, "unilatent.commands.speech"], "run/config.yaml")


def test_a_folder_called_like_a_package_of_ours_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "__init__.py").write_text("raise SystemExit('imported')\n")
    (tmp_path / "eval" / "metric.py").write_text("")
    for name in [name for name in sys.modules if name == "eval" or name.startswith("eval.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    others = [finder for finder in sys.meta_path if getattr(finder, "__module__", "") != "unilatent.siblings"]
    monkeypatch.setattr(sys, "meta_path", others)  # as s2s is without the front door
    importlib.invalidate_caches()
    with pytest.raises(ConfigError, match=r"would run the code of 'eval.metric'"):
        refuse_untrusted(["eval.metric"], "run")


@pytest.mark.parametrize("trusted", ["my_lab", "other, my_lab.losses", "*", "my_lab.losses"])
def test_trusted_names_cover_what_lies_below_them(trusted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRUSTED, trusted)
    refuse_untrusted(["my_lab.losses"], "run")


@pytest.mark.parametrize("trusted", ["", ",", "my", "my_la", "my_lab.losses.more", "losses", "other"])
def test_other_trusted_names_do_not(trusted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRUSTED, trusted)
    with pytest.raises(ConfigError, match=r"would run the code of 'my_lab.losses'"):
        refuse_untrusted(["my_lab.losses"], "run")


def test_trust_ends_with_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    with trusting_imports():
        refuse_untrusted(["my_lab.losses"], "run")
    assert TRUSTED not in os.environ
    monkeypatch.setenv(TRUSTED, "other")
    with pytest.raises(KeyError), trusting_imports():
        raise KeyError
    assert os.environ[TRUSTED] == "other"


def test_what_is_not_a_list_of_names_is_left_to_the_configuration() -> None:
    for names in (None, "my_lab", [1, None, ["my_lab"]], {"my_lab": 1}):
        refuse_untrusted(names, "run")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys\nsys.exit(0)", r"a_plug_in.py:2: SystemExit: 0"),
        ("raise BaseException('boom')", r"a_plug_in.py:1: BaseException: boom"),
        ("raise GeneratorExit", r"a_plug_in.py:1: GeneratorExit"),
        ("import no_such_module_either", r"cannot import 'a_plug_in': No module named 'no_such_module_either'"),
        ("def f(", r"a_plug_in"),
        ("f = lambda: f()\nf()", r"a_plug_in.py:1: RecursionError"),
    ],
)
def test_a_module_that_fails_is_one_line(
    code: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_plug_in.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    search_working_directory()
    importlib.invalidate_caches()
    with pytest.raises(ConfigError, match=message):
        import_modules(["a_plug_in"])
    assert "a_plug_in" not in sys.modules


@pytest.mark.parametrize("name", ["", ".", ".x", "a b", "a/b", "x" * 1000])
def test_names_that_are_no_modules_are_one_line(name: str) -> None:
    with pytest.raises(ConfigError, match="imports: cannot import"):
        import_modules([name])
