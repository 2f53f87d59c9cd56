"""The user's own files never take the place of ours: real processes in a folder full of names that we use too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from unilatent.verbs import VERBS

RUN = Path(__file__).parents[1] / "regression/data/run"
ALARM = "raise SystemExit('a file of the user was taken for ours')\n"
SHADOWS = ("eval", "latent", "s2s", "data_prep", "datasets", "torch", "typer", "yaml", "tokenizers", "commands")
FORMS = {"command": [str(Path(sys.executable).parent / "unilatent")], "module": [sys.executable, "-m", "unilatent"]}


@pytest.fixture
def crowded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose files and packages have the names of ours and of libraries, as the current folder."""
    for name in SHADOWS:
        (tmp_path / f"{name}.py").write_text(ALARM)
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(ALARM)
    (tmp_path / "unilatent").mkdir()  # a folder of outputs, say
    monkeypatch.chdir(tmp_path)
    return tmp_path


def end_of(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """A process that has ended."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run([*map(str, command)], env=env, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_in_a_folder_of_shadows(verb: str, crowded: Path) -> None:
    done = end_of(*FORMS["module"], verb, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"unilatent {verb}" in done.stdout


@pytest.mark.parametrize("form", FORMS)
def test_a_verb_works_in_a_folder_of_shadows(form: str, crowded: Path) -> None:
    done = end_of(*FORMS[form], "show", RUN)
    assert (done.returncode, done.stderr) == (0, "")
    assert "weights: " in done.stdout


def test_packages_of_the_same_names_elsewhere_on_the_path_are_passed_over(crowded: Path) -> None:
    """As if other distributions of these names were installed in a folder that comes first."""
    for name in {*SHADOWS} - {"s2s", "latent", "data_prep", "eval"}:
        (crowded / f"{name}.py").unlink()
        (crowded / name / "__init__.py").unlink()
        (crowded / name).rmdir()
    done = end_of(*FORMS["command"], "show", RUN, PYTHONPATH=str(crowded))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "form", [["-m", "unilatent"], pytest.param(["--no-python", FORMS["command"][0]], marks=pytest.mark.slow)]
)
def test_torchrun_is_safe_in_a_folder_of_shadows(form: list[str], crowded: Path) -> None:
    torchrun = Path(sys.executable).parent / "torchrun"
    start = [torchrun] if torchrun.exists() else [sys.executable, "-P", "-m", "torch.distributed.run"]
    if sys.version_info < (3, 11) and not torchrun.exists():
        pytest.skip("torchrun is not beside this interpreter")
    done = end_of(*start, "--standalone", "--nproc-per-node", 1, *form, "show", RUN)
    assert done.returncode == 0, done.stderr
    assert "weights: " in done.stdout


def test_code_that_a_trusted_run_names_is_found_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    monkeypatch.chdir(tmp_path)
    shutil.copytree(RUN, "run")
    config = Path("run/config.yaml")
    config.write_text(config.read_text().replace("imports: []", "imports: [my_lab]"))
    Path("my_lab.py").write_text("open('code_was_run', 'w')\n")
    Path("in.jsonl").write_text('{"src": "a fast tool"}\n')
    decode = [*FORMS["module"], "decode", "run", "--input", "in.jsonl", "--output", "out.jsonl", "--device", "cpu"]
    refused = end_of(*decode)
    assert refused.returncode == 1
    assert "--trust-imports" in refused.stderr
    assert not Path("code_was_run").exists()
    assert end_of(*decode, "--trust-imports").returncode == 0
    assert Path("code_was_run").exists()
