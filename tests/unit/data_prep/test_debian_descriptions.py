"""Descriptions for pretraining: nothing of a source package that `debian_synopsis` validates or tests on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data_prep.debian_descriptions import write
from data_prep.debian_synopsis import split_of
from data_prep.package_lists import PackageLists
from s2s.errors import InputError


def lists_of(tmp_path: Path, count: int) -> PackageLists:
    """Packages p0, p1, ...; every fifth repeats the description of p0, every seventh has none."""
    stanzas, translations = [], []
    for number in range(count):
        stanzas.append(
            f"Package: p{number}\nSource: s{number} (1.0)\nDescription: synopsis {number}\nDescription-md5: {number}\n"
        )
        body = 0 if number % 5 == 0 else number
        if number % 7 or not number:
            translations.append(
                f"Package: p{number}\nDescription-md5: {number}\n"
                f"Description-en: synopsis {number}\n body {body}\n .\n end\n"
            )
    (tmp_path / "Packages").write_text("\n".join(stanzas))
    (tmp_path / "Translation-en").write_text("\n".join(translations))
    return PackageLists([tmp_path / "Packages"], {"en": [tmp_path / "Translation-en"]}, "toy")


def test_only_training_packages_are_written_each_text_once_and_without_synopsis(tmp_path: Path) -> None:
    summary = write(tmp_path / "out/a.jsonl", lists_of(tmp_path, 200), "en")
    records = [json.loads(line) for line in (tmp_path / "out/a.jsonl").read_text().splitlines()]
    train = [number for number in range(200) if split_of(f"s{number}") == "train"]
    bodies = {0 if number % 5 == 0 else number for number in train if number % 7 or not number}
    assert {record["text"] for record in records} == {f"body {number} end" for number in bodies}
    assert len(records) == len(bodies) < len(train) < 200
    assert all(split_of(record["source_package"]) == "train" for record in records)
    assert f"{len(records)} descriptions; left out" in summary
    assert f"{200 - len(train)} of source packages for validation or testing" in summary


def test_a_language_without_descriptions_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--language de: the lists hold no description in it to train on"):
        write(tmp_path / "out/a.jsonl", lists_of(tmp_path, 9), "de")
    assert list((tmp_path / "out").iterdir()) == []
