"""What comes with the distribution has names; files of the user come first, and unknown names are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from s2s import shipped
from s2s.data.records import records
from s2s.errors import InputError
from s2s.run_config import load_config


def test_every_configuration_says_what_it_is_for_what_it_costs_and_what_it_needs() -> None:
    assert {"quickstart", "xsum", "pretrain_base", "latent_lm_small"} <= set(shipped.configs())
    for name, path in shipped.configs().items():
        about = shipped.about(path)
        assert all(about), name
        assert all(len(text) <= 120 for text in about), name


@pytest.mark.parametrize("name", sorted(shipped.configs()))
def test_every_configuration_is_valid_from_any_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config(name).tree()["task"]


def test_sample_data_are_read_from_any_folder_by_file_and_by_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    by_split = [record for _, record in records("sample:en", "valid")]
    assert by_split == [record for _, record in records("sample:en/valid.jsonl")]
    assert len(by_split) > 10
    assert set(shipped.samples()) == {f"sample:{name}" for name in ("de", "en", "ja", "questions", "speech")}


def test_a_local_file_or_folder_of_the_same_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shipped.run_folder("demo") != Path("demo")
    Path("demo").mkdir()
    assert shipped.run_folder("demo") == Path("demo")
    Path("quickstart").mkdir()  # a run folder, say, is no configuration
    assert shipped.config_file("quickstart") == shipped.configs()["quickstart"]
    Path("xsum").write_text("{}")
    assert shipped.config_file("xsum") == Path("xsum")
    Path("sample:en").write_text(json.dumps({"src": "mine"}))
    assert [record for _, record in records("sample:en")] == [{"src": "mine"}]


@pytest.mark.parametrize(
    ("find", "name", "message"),
    [
        (
            shipped.config_file,
            "quikstart",
            r"quikstart: no such file, and none of the configurations .* mean 'quickstart'\?",
        ),
        (shipped.config_file, "zzz", r"zzz: .* known: cnndm, .*quickstart"),
        (shipped.data_path, "sample:en/trian.jsonl", r"no such sample data\. Did you mean 'sample:en/train.jsonl'\?"),
        (shipped.data_path, "sample:", r"sample:: no such sample data"),
        (shipped.data_path, "sample:../../setup.py", r"no such sample data"),
        (shipped.data_path, "sample:/etc/passwd", r"no such sample data"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest(
    find: object, name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        find(name)  # type: ignore[operator]


@pytest.mark.parametrize("name", ["a.yaml", "folder/quickstart", "/dev/null"])
def test_what_looks_like_a_path_is_one(name: str) -> None:
    assert shipped.config_file(name) == Path(name)
