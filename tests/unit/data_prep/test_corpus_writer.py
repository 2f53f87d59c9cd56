import io
import json
import re
from pathlib import Path

import pytest

from data_prep.corpus_writer import CorpusWriter, Pair
from s2s import durable
from s2s.errors import InputError


def records(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_pairs_are_written_to_their_split_with_all_fields(tmp_path: Path) -> None:
    with CorpusWriter(tmp_path / "out", "Title", ["About."]) as writer:
        writer.add("train", Pair("a", "ein Täg", "x", {"lang": "de"}))
        writer.add("test", Pair("b", ["to", "##ken"], ["y"]))
    assert records(tmp_path / "out/train.jsonl") == [{"id": "a", "src": "ein Täg", "tgt": "x", "lang": "de"}]
    assert records(tmp_path / "out/test.jsonl") == [{"id": "b", "src": ["to", "##ken"], "tgt": ["y"]}]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["DATA_CARD.md", "test.jsonl", "train.jsonl"]


def test_card_counts_pairs_words_duplicates_overlaps_and_skips(tmp_path: Path) -> None:
    with CorpusWriter(tmp_path, "Title", ["About."]) as writer:
        for source, target in [("a b c", "t"), ("a b c", "t"), ("a b c", "u"), ("d", "v w")]:
            writer.add("train", Pair("i", source, target))
        writer.add("valid", Pair("j", "d", "z"))
        writer.add("valid", Pair("k", " \n", "z"))
        writer.skip("too odd")
    card = (tmp_path / "DATA_CARD.md").read_text()
    assert "| train | 4 | 2.5, 3, 3, 3 | 1.2, 1, 2, 2 | 1 |" in card
    assert "Sources that are in both train and valid: 1." in card
    assert "- 1 too odd" in card
    assert "- 1 empty source or target" in card
    assert writer.summary.endswith(
        "4 / 1 / 0 pairs (train / valid / test); skipped 1 empty source or target; 1 too odd"
    )


def test_failure_leaves_an_older_corpus_as_it_was(tmp_path: Path) -> None:
    with CorpusWriter(tmp_path, "Old", []) as writer:
        writer.add("train", Pair("a", "b", "c"))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail() -> None:
        with CorpusWriter(tmp_path, "New", []) as writer:
            writer.add("train", Pair("d", "e", "f"))
            raise InputError("broken input")

    with pytest.raises(InputError, match="broken input"):
        fail()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("place", ["write", "flush"])
def test_full_disk_is_told_and_leaves_an_older_corpus(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "train.jsonl").write_text("old")
    (tmp_path / "test.jsonl").write_text("old")

    class Full(io.BytesIO):
        def fileno(self) -> int:
            return 1

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    setattr(Full, place, full)
    monkeypatch.setattr(durable, "open", lambda *_, **__: Full(), raising=False)

    def fill() -> None:
        with CorpusWriter(tmp_path, "Title", []) as writer:
            writer.add("train", Pair("a", "source", "target"))
            writer.add("test", Pair("a", "source", "target"))

    with pytest.raises(InputError, match="cannot be written: No space left on device"):
        fill()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"train.jsonl": "old", "test.jsonl": "old"}


def test_a_split_of_another_corpus_is_neither_kept_nor_lost(tmp_path: Path) -> None:
    with CorpusWriter(tmp_path, "Title", []) as writer:
        writer.add("test", Pair("a", "b", "c"))
    before = (tmp_path / "test.jsonl").read_bytes()
    writer = CorpusWriter(tmp_path, "Title", []).__enter__()
    writer.add("train", Pair("a", "b", "c"))
    with pytest.raises(InputError, match=r"holds test\.jsonl of another corpus"):
        writer.__exit__(None, None, None)
    assert (tmp_path / "test.jsonl").read_bytes() == before
    assert not (tmp_path / "train.jsonl").exists()


def test_corpus_without_pairs_is_refused(tmp_path: Path) -> None:
    writer = CorpusWriter(tmp_path, "Title", []).__enter__()
    writer.skip("too odd")
    with pytest.raises(InputError, match="no pair to write; skipped 1 too odd"):
        writer.__exit__(None, None, None)
    assert list(tmp_path.iterdir()) == []


def test_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match=re.escape(f"{tmp_path / 'out'}: cannot be written: File exists")):
        CorpusWriter(tmp_path / "out", "Title", []).__enter__()


def test_an_id_that_occurs_twice_is_reported_with_both_lines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with CorpusWriter(tmp_path, "t", []) as writer:
        for number, name in enumerate(["a", "b", "c", "b", "a", "b"]):
            writer.add("train", Pair(name, f"source {number}", "target"))
        writer.add("test", Pair("a", "the same id in another file", "target"))
    expected = "train.jsonl: 3 lines have the id of an earlier line, first 2 and 4; evaluate matches by id"
    assert [record.getMessage() for record in caplog.records] == [f"warning: {tmp_path}/{expected}"]
