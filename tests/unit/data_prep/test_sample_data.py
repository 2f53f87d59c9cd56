"""The data that the repository ships: small, well-formed, and fair to measure on."""

import json
from pathlib import Path
from typing import Any

import pytest

import data_prep
from data_prep.corpus_writer import Pair
from data_prep.debian_synopsis import split_of
from data_prep.subset import fingerprints

SAMPLE = Path(data_prep.__file__).parent / "sample"
LANGUAGES = ("en", "de", "ja")
SIZES = {"en": (3800, 150, 200), "de": (300, 50, 50), "ja": (300, 50, 50), "questions": (134, 18, 16)}


@pytest.fixture(scope="module")
def sample() -> dict[tuple[str, str], list[dict[str, Any]]]:
    return {
        (name, split): [json.loads(line) for line in (SAMPLE / name / f"{split}.jsonl").open(encoding="utf-8")]
        for name in SIZES
        for split in ("train", "valid", "test")
    }


Sample = dict[tuple[str, str], list[dict[str, Any]]]


def test_sizes_are_those_announced_and_at_most_three_megabytes(sample: Sample) -> None:
    for name, sizes in SIZES.items():
        assert tuple(len(sample[name, split]) for split in ("train", "valid", "test")) == sizes
    text = (path for path in SAMPLE.rglob("*") if path.is_file() and path.parent.name != "speech")
    assert sum(path.stat().st_size for path in text) <= 3_000_000


def test_records_are_complete_and_ids_unique(sample: Sample) -> None:
    records = [record for part in sample.values() for record in part]
    assert len({record["id"] for record in records}) == len(records)
    for record in records:
        for text in (record["src"], record["tgt"]):
            assert text == " ".join(text.split())
            assert text
            assert "\ufffd" not in text


def test_every_record_is_where_its_source_package_belongs(sample: Sample) -> None:
    for name in LANGUAGES:
        for split in ("train", "valid", "test"):
            for record in sample[name, split]:
                assert split_of(record["source_package"]) == split
                assert record["id"].startswith(f"{name}/")


def test_train_holds_nothing_like_test_or_valid(sample: Sample) -> None:
    for name in SIZES:
        prints = {
            split: {mark for r in sample[name, split] for mark in fingerprints(Pair(r["id"], r["src"], r["tgt"]))}
            for split in ("train", "valid", "test")
        }
        assert prints["train"].isdisjoint(prints["valid"] | prints["test"])
        assert prints["valid"].isdisjoint(prints["test"])


def test_licenses_are_beside_the_data() -> None:
    notice = (SAMPLE / "NOTICE").read_text(encoding="utf-8")
    for words in ("source_package", "debian/copyright", "Python Software Foundation", "PSF License"):
        assert words in notice
    assert "PYTHON SOFTWARE FOUNDATION LICENSE" in (SAMPLE / "questions/LICENSE").read_text(encoding="utf-8")
