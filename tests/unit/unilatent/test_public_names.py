"""The names of `unilatent` are those of the packages below, imported when they are used."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import unilatent
from s2s.errors import InputError
from s2s.run import train
from unilatent import siblings

LIGHT = """
import sys
import unilatent
assert unilatent.__version__
assert "train" in dir(unilatent)
print(sorted({"torch", "transformers", "pydantic", "numpy"} & set(sys.modules)))
"""


def test_importing_unilatent_imports_nothing_heavy() -> None:
    found = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_every_public_name_is_there_and_another_is_refused() -> None:
    assert all(getattr(unilatent, name) for name in unilatent.__all__)
    assert unilatent.train is train
    with pytest.raises(AttributeError, match=r"has no attribute 'Generater'"):
        unilatent.Generater  # noqa: B018


def test_train_takes_a_file_or_a_mapping_and_names_a_wrong_option(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("optim: {lr: 0.1}\n")
    with pytest.raises(InputError, match=r"optim.lrr: no such option. Did you mean 'lr'"):
        train(tmp_path / "my.yaml", tmp_path / "run", {"optim.lrr": 1})
    with pytest.raises(InputError, match=r"output: must be given"):
        train({"optim": {"lr": 0.1}})
    with pytest.raises(InputError, match=r"optimm: no such section. Did you mean 'optim'"):
        train({"optimm": {}}, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_modules_can_still_be_looked_for_anew() -> None:
    """Ours is one of the finders that `importlib.invalidate_caches` asks."""
    siblings.install()
    importlib.invalidate_caches()
