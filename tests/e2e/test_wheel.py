"""The wheel holds everything, is small, and works in an environment and a folder that know nothing of the clone."""

from __future__ import annotations

import fnmatch
import os
import runpy
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).parents[2]
PACKAGES = ("unilatent", "s2s", "latent", "data_prep", "eval")
MOST = 64_000_000
"""Bytes of the wheel: all models and data in it."""
PYTHON = """
import unilatent

generator = unilatent.Generator.load("summarizer", device="cpu")
print(generator.generate("A library that reads and writes PNG images.").text)

voice = unilatent.Voice.load("demo")
voice.say("Good morning.").save("b.wav")

changes = {"model.init": "encoder", "train.max_steps": 1, "task.train": "sample:en/valid.jsonl"}
unilatent.train("quickstart", "runs/p", changes)
"""


def files_of_packages() -> set[Path]:
    """What lies in the packages, relative to the clone."""
    found = (path for name in PACKAGES for path in (REPO / name).rglob("*") if path.is_file())
    return {path.relative_to(REPO) for path in found if not {"__pycache__", ".mypy_cache"} & {*path.parts}}


def test_every_file_of_the_packages_is_in_the_wheel_by_setup_py(monkeypatch: pytest.MonkeyPatch) -> None:
    setuptools = pytest.importorskip("setuptools")
    given: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, "setup", lambda **options: given.update(options))
    monkeypatch.chdir(REPO)
    runpy.run_path("setup.py")
    patterns = [f"{package}/{name}" for package, names in given["package_data"].items() for name in names]
    packages = {Path(*name.split(".")) for name in given["packages"]}
    missing = [
        path.as_posix()
        for path in files_of_packages()
        if not (path.suffix == ".py" and path.parent in packages)
        and not any(fnmatch.fnmatch(path.as_posix(), pattern) for pattern in patterns)
    ]
    assert not missing


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy so that the clone stays as it is."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in PACKAGES:
        shutil.copytree(REPO / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPO / name, source)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--wheel-dir", str(out), str(source)], check=True, capture_output=True)
    (found,) = out.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a new environment with the wheel and, beside it, the libraries of this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    bin = folder / ("Scripts" if os.name == "nt" else "bin")
    (site,) = [path for path in folder.rglob("site-packages") if path.is_dir()]
    libraries = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (site / "libraries.pth").write_text(
        "\n".join(libraries) + "\n"
    )  # their own .pth files, such as our clone, are not read
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(bin / "python"),
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
    ]
    subprocess.run([*pip, "--no-index", "--ignore-installed", str(wheel)], check=True, capture_output=True)
    return bin


@pytest.mark.slow
def test_the_wheel_is_whole_and_small(wheel: Path) -> None:
    assert wheel.stat().st_size <= MOST
    with zipfile.ZipFile(wheel) as archive:
        names = {Path(name) for name in archive.namelist()}
    assert files_of_packages() <= names


@pytest.mark.slow
def test_an_installed_wheel_speaks_trains_and_writes_in_any_folder(
    scripts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tiny_models import write_encoder

    monkeypatch.chdir(tmp_path)
    write_encoder(Path("encoder"), ["a", "fast", "library"])
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

    def run(*command: str) -> str:
        program = [str(scripts / command[0]), *command[1:]]
        done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    place = run("python", "-c", "import unilatent, s2s; print(unilatent.__file__, s2s.__file__, unilatent.__version__)")
    assert str(REPO) not in place
    assert run("unilatent", "--version") == run("python", "-m", "unilatent", "--version")
    assert "quickstart" in run("unilatent", "configs")
    assert "api.js" in run("python", "-c", "import os, unilatent; print(os.listdir(unilatent.__path__[0] + '/page'))")
    run("unilatent", "synthesize", "demo", "--text", "Good morning.", "--output", "a.wav")
    small = ["model.init=encoder", "train.max_steps=2", "task.train=sample:en/valid.jsonl"]
    run("unilatent", "train", "quickstart", "--output", "runs/q", *small)
    run("unilatent", "prepare", "subset", "sample:en", "few", "--train", "1", "--valid", "1", "--test", "2")
    run("unilatent", "decode", "runs/q", "--input", "few/test.jsonl", "--output", "hyp.jsonl")
    assert run("unilatent", "decode", "summarizer", "--input", "few/test.jsonl").count("\n") == 2
    assert len(Path("hyp.jsonl").read_text().splitlines()) == 2
    run("python", "-c", PYTHON)
    assert Path("a.wav").stat().st_size > 10_000
    assert Path("b.wav").stat().st_size > 10_000
    assert Path("runs/p/model.safetensors").exists()


@pytest.mark.slow
def test_files_of_another_distribution_in_the_place_of_ours_are_told_in_one_line(scripts: Path) -> None:
    """Last in this module: it damages the installation, as `pip install s2s` would."""
    (site,) = [path for path in scripts.parent.rglob("site-packages") if path.is_dir()]
    (site / "s2s/errors.py").write_text("class Seq2SeqError(Exception): ...\n")
    facts = site / "s2s-1.2.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: s2s\nVersion: 1.2\n")
    (facts / "RECORD").write_text("s2s/errors.py,,\ns2s/__init__.py,,\n")
    (facts / "top_level.txt").write_text("s2s\n")
    done = subprocess.run([str(scripts / "unilatent"), "configs"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("error: s2s: the distribution 's2s' 1.2 has written its files over ours; ")
    assert done.stderr.count("\n") == 1
