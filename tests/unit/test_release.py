"""What a release consists of: archives that hold what git tracks, one version, a container that lints, a citation."""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import check_archives
import pytest
import yaml

REPO = Path(__file__).parents[2]


def test_the_version_stands_in_setup_py_alone() -> None:
    (stated,) = re.findall(r'^    version="(.*)",$', (REPO / "setup.py").read_text(encoding="utf-8"), re.MULTILINE)
    assert version("unilatent") == stated
    assert "version" not in yaml.safe_load((REPO / "CITATION.cff").read_text(encoding="utf-8"))
    heads = re.findall(r"^## (.*)$", (REPO / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert heads[0] == "Unreleased" or heads[0].startswith(f"{stated} (")


def test_the_citation_names_the_software_and_its_papers() -> None:
    citation = yaml.safe_load((REPO / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "type", "authors", "license", "references"} == citation.keys() - {
        "keywords"
    }
    for paper in citation["references"]:
        assert paper["title"]
        assert paper["year"]
        assert paper["authors"]
        assert all(set(author) in ({"name"}, {"family-names", "given-names"}) for author in paper["authors"])
        (identifier,) = paper["identifiers"]
        assert re.fullmatch(r"arXiv:\d{4}\.\d{5}", identifier["value"])


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="hadolint is not installed; it comes with unilatent[dev]")
def test_the_container_has_no_fault_that_a_linter_knows() -> None:
    found = subprocess.run(["hadolint", "Dockerfile"], cwd=REPO, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def test_the_container_serves_as_a_user_without_rights() -> None:
    lines = (REPO / "Dockerfile").read_text(encoding="utf-8").splitlines()
    last = {line.partition(" ")[0]: line for line in lines}
    assert last["USER"] == "USER 1000"
    assert last["ENTRYPOINT"].startswith('ENTRYPOINT ["unilatent", "serve"')
    sent = set((REPO / ".dockerignore").read_text(encoding="utf-8").splitlines())
    assert {f"!{name}" for name in (*check_archives.PACKAGES, "setup.py", "pyproject.toml", "constraints.txt")} <= sent


def write_wheel(path: Path, names: set[str]) -> Path:
    with zipfile.ZipFile(path, "w") as wheel:
        for name in names:
            wheel.writestr(name, "x")
    return path


def test_an_archive_that_lacks_or_adds_a_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracked = {"s2s/run.py", "unilatent/cli.py"}
    whole = write_wheel(tmp_path / "whole.whl", tracked | {"unilatent-1.dist-info/METADATA"})
    assert check_archives.problems_of(whole, tracked) == []
    other = write_wheel(tmp_path / "other.whl", {"s2s/run.py", "s2s/left.over"})
    assert check_archives.problems_of(other, tracked) == [
        "other.whl: lacks unilatent/cli.py",
        "other.whl: holds s2s/left.over, which git does not track",
    ]
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as sdist:
        for name in sorted(tracked):
            sdist.add(REPO / name, f"unilatent-1/{name}")
    (problem,) = check_archives.problems_of(tmp_path / "a.tar.gz", tracked)
    assert problem.startswith("a.tar.gz: lacks CHANGELOG.md, CITATION.cff, LICENSE and ")
    monkeypatch.setattr(check_archives, "MOST_BYTES", 100)
    assert "at most 0 are allowed" in check_archives.problems_of(whole, tracked)[0]


def test_git_tracks_what_the_archives_must_hold() -> None:
    tracked = check_archives.tracked_files()
    assert {"unilatent/cli.py", "s2s/configs/quickstart.yaml", "latent/demo_voice/model.safetensors"} <= tracked
    assert all((REPO / name).is_file() for name in check_archives.BESIDE)


@pytest.mark.parametrize(
    "name", ["quickstart", "quickstart_full", "speak", "speak_full", "release", "test", "environment"]
)
def test_a_script_is_bash_and_refuses_what_it_does_not_know(name: str) -> None:
    path = f"scripts/{name}.sh"
    assert subprocess.run(["bash", "-n", path], cwd=REPO, check=False).returncode == 0
    if name in ("quickstart", "speak", "release"):  # before they set anything up
        found = subprocess.run(["bash", path, "--nonsense"], cwd=REPO, capture_output=True, text=True, check=False)
        assert found.returncode == 1
        assert re.fullmatch(r"error: --nonsense: expected .*\n", found.stderr)
