import json
from pathlib import Path

import pytest

from data_prep import subset
from data_prep.corpus_writer import CorpusWriter, Pair
from data_prep.subset import fingerprints
from s2s.errors import InputError


def corpus(folder: Path) -> Path:
    with CorpusWriter(folder, "Numbers", [], {"NOTICE": "license"}) as writer:
        for split, count in (("train", 40), ("valid", 10), ("test", 10)):
            for number in range(count):
                name = "".join(chr(97 + int(digit)) for digit in str(number)) + split
                writer.add(split, Pair(f"{split}{number}", f"source {name}", f"target {name}", {"lang": "en"}))
        writer.add("train", Pair("leak-target", "a source of its own", "Target BTEST, target"))
        writer.add("train", Pair("leak-source", "Source: (btest)", "a target of its own"))
    return folder


def ids(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.open()]


def test_larger_subset_begins_with_the_smaller_one(tmp_path: Path) -> None:
    whole = corpus(tmp_path / "whole")
    for name, count in (("small", 5), ("large", 20)):
        subset.write(tmp_path / name, whole, {"train": count, "valid": 2, "test": 10})
    assert ids(tmp_path / "large/train.jsonl")[:5] == ids(tmp_path / "small/train.jsonl")
    assert (tmp_path / "small/NOTICE").read_text() == "license"
    assert (tmp_path / "small/DATA_CARD.md").read_text().startswith("# Numbers: a subset\n")


def test_train_gives_nothing_of_test_away(tmp_path: Path) -> None:
    summary = subset.write(tmp_path / "out", corpus(tmp_path / "whole"), {"train": 40, "valid": 0, "test": 10})
    assert not {"leak-target", "leak-source"} & set(ids(tmp_path / "out/train.jsonl"))
    assert "skipped 2 pairs that resemble one of another split" in summary


def test_fingerprints_ignore_case_order_punctuation_and_digits() -> None:
    first = set(fingerprints(Pair("a", "The tool: v1", "Fast tool, fast")))
    assert first == set(fingerprints(Pair("b", "the TOOL v2", "tool (fast) 3")))
    assert first.isdisjoint(fingerprints(Pair("c", "a tool", "slow tool")))


def test_corpus_that_is_too_small_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"valid\.jsonl: expected at least 11 pairs, found 10"):
        subset.write(tmp_path / "out", corpus(tmp_path / "whole"), {"train": 0, "valid": 11, "test": 1})


def test_record_without_id_is_refused(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text('{"src": "a", "tgt": "b"}\n')
    with pytest.raises(InputError, match=r"test\.jsonl:1: 'id' must be a string"):
        subset.write(tmp_path / "out", tmp_path, {"train": 0, "valid": 0, "test": 1})
