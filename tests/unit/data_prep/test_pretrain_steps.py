"""The steps from raw text to examples, one by one: reading, sentences, packing, exclusion."""

from __future__ import annotations

import gzip
import itertools
import json
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.pretrain_text.exclusion import Exclusion
from data_prep.pretrain_text.raw_text import LONGEST, Raw, Unit, cut, files_of, read_raw, text_of
from data_prep.pretrain_text.tokenizing import groups, two_segments
from s2s.data.sentences import sentences
from s2s.data.tokenizer import SpecialIds
from s2s.errors import InputError

SPECIAL = SpecialIds(cls=101, sep=102, mask=103, pad=100, pseudo=103)


def contents(path: Path, unit: Unit = "file") -> list[bytes]:
    return [raw.content for raw in read_raw(str(path), unit, "text")]


# reading


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("file", [b"one\ntwo\n\n\nthree\r\n \nfour"]),
        ("block", [b"one\ntwo\n", b"three\r\n", b"four"]),
        ("line", [b"one\n", b"two\n", b"\n", b"\n", b"three\r\n", b" \n", b"four"]),
    ],
)
def test_a_document_is_what_the_unit_says(tmp_path: Path, unit: Unit, expected: list[bytes]) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\ntwo\n\n\nthree\r\n \nfour")
    assert contents(tmp_path / "a.txt", unit) == expected


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".bz2"])
def test_compressed_text_is_read_and_a_cut_file_is_told(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.txt{suffix}"
    with pa.output_stream(str(path), compression="detect") as file:
        file.write(bytes(range(32, 127)) * 999)
    assert contents(path) == [bytes(range(32, 127)) * 999]
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(InputError, match=rf"a\.txt\{suffix}: cannot be read: .*[Tt]runcated") as failure:
        contents(path)
    assert "\n" not in str(failure.value)


def test_members_of_a_gzip_file_follow_one_another(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two\n"))
    assert contents(tmp_path / "a.gz") == [b"one\ntwo\n"]


def test_json_lines_and_tables_give_their_field(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"text": "\\u00fcber"}\n\n{"text": null}\n'))
    pq.write_table(pa.table({"text": ["x", None]}), tmp_path / "b.parquet")
    found = [raw for file in files_of(str(tmp_path)) for raw in read_raw(file, "file", "text")]
    assert [text_of(raw, "text") for raw in found] == ["über", "", "x", ""]
    assert found[1].where.endswith("a.jsonl.gz:3")


def test_data_set_folders_give_a_split(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = {split: datasets.Dataset.from_dict({"body": [f"{split} text"]}) for split in ("train", "test")}
    datasets.DatasetDict(rows).save_to_disk(tmp_path / "set")
    for name, expected in ((str(tmp_path / "set"), b"train text"), (f"{tmp_path / 'set'}:test", b"test text")):
        assert files_of(name) == [name]
        assert [raw.content for raw in read_raw(name, "file", "body")] == [expected]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": ', r"a:7: broken JSON: "),
        ('{"body": "x"}', r"a:7: expected an object with the field 'text', found 'body'"),
        ("[1]", r"a:7: expected a JSON object, found a list"),
        ('{"text": 3}', r"a:7: 'text' must be a string, found int"),
    ],
)
def test_a_bad_record_names_file_and_line(line: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        text_of(Raw("a:7", line.encode(), is_json=True), "text")


def test_a_missing_column_is_told(tmp_path: Path) -> None:
    pq.write_table(pa.table({"body": ["x"]}), tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"b\.parquet: row 1: expected a column 'text', found 'body'"):
        contents(tmp_path / "b.parquet")


def test_files_of_a_folder_are_sorted_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("b.txt", "a/c.txt", ".git/config", "a/.x.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    assert files_of(str(tmp_path)) == [str(tmp_path / "a/c.txt"), str(tmp_path / "b.txt")]


def test_missing_inputs_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--input .*none\.txt: no such file, folder or data set"):
        files_of(str(tmp_path / "none.txt"))
    with pytest.raises(InputError, match="the folder holds no file"):
        files_of(str(tmp_path))


@pytest.mark.parametrize("unit", ["file", "block", "line"])
def test_an_overlong_document_is_cut_and_nothing_is_lost(tmp_path: Path, unit: Unit) -> None:
    content = "wörter ".encode() * (LONGEST // 3)
    (tmp_path / "a.txt").write_bytes(content)
    found = list(read_raw(str(tmp_path / "a.txt"), unit, "text"))
    assert b"".join(raw.content for raw in found) == content
    assert [raw.piece for raw in found] == list(range(len(found)))
    assert len(found) > 2
    assert all(len(raw.content) <= LONGEST and raw.content.startswith(b"w") for raw in found)


def test_one_line_of_50_megabytes_is_read_in_little_memory(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a word " * 7_200_000)
    tracemalloc.start()
    sizes = [len(raw.content) for raw in read_raw(str(tmp_path / "a.txt"), "line", "text")]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(sizes) == 50_400_000
    assert peak < 10 * LONGEST


@given(st.text(min_size=30, max_size=60).map(str.encode), st.integers(8, 29))
def test_a_cut_is_never_inside_a_character(content: bytes, most: int) -> None:
    end = cut(content, most)
    assert 0 < end <= most
    assert content[:end].decode() + content[end:].decode() == content.decode()


# sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dr. Smith came\nat 5 p.m. He left!  Why? ", ["Dr. Smith came at 5 p.m.", "He left!", "Why?"]),
        ("Use it, e.g. here. Or vs. There.", ["Use it, e.g. here.", "Or vs. There."]),
        ("Version 2.0 is out. 3 bugs.", ["Version 2.0 is out.", "3 bugs."]),
        ("He said “no.” She went ... and came.", ["He said “no.”", "She went ... and came."]),
        ("A heading\n\nA text\r\n \r\nAnother", ["A heading", "A text", "Another"]),
        ("日本語。それは？はい", ["日本語。", "それは？", "はい"]),
        (" \n\n\t", []),
        ("a\x00b\x0cc", ["ab c"]),
    ],
)
def test_sentences_end_where_a_reader_says(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@given(st.text(alphabet='aB.!? \n"’(。', max_size=60))
def test_sentences_lose_no_visible_character(text: str) -> None:
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


# packing


@given(st.lists(st.lists(st.integers(0, 99), max_size=25), max_size=12), st.integers(5, 20))
def test_packing_keeps_every_token_in_order_and_no_sentence_that_fits_is_divided(
    found: list[list[int]], max_length: int
) -> None:
    packed = list(groups(found, max_length))
    assert [id for group in packed for piece in group for id in piece] == [id for ids in found for id in ids]
    assert all(sum(map(len, group)) <= max_length - 3 for group in packed)
    pieces = [list(piece) for group in packed for piece in group]
    assert all(ids in pieces for ids in found if 0 < len(ids) <= max_length - 3)


@given(st.lists(st.lists(st.integers(0, 99), max_size=9), max_size=12), st.integers(5, 20))
def test_no_two_neighboring_inputs_would_fit_into_one(found: list[list[int]], max_length: int) -> None:
    packed = list(groups(found, max_length))
    for first, second in itertools.pairwise(packed):
        assert sum(map(len, first)) + len(second[0]) > max_length - 3


def test_segments_are_divided_between_two_sentences() -> None:
    made = {tuple(two_segments([[1, 2], [3], [4]], chance, SPECIAL)[0]) for chance in range(9)}
    assert made == {(101, 1, 2, 102, 3, 4, 102), (101, 1, 2, 3, 102, 4, 102)}
    ids, split = two_segments([[1, 2], [3], [4]], 4, SPECIAL)
    assert (ids[split - 1], split) == (102, 4)
    assert two_segments([[1, 2]], 5, SPECIAL) == ([101, 1, 2, 102], 4)


# exclusion

TEXT = "one two three four five six seven eight nine ten"


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (f"before {TEXT} behind", True),
        ("ONE, two: (three) four-five six!", True),
        ("two three four five six seven", True),
        ("one two three four five", False),
        ("one two three four x five six seven eight nine", False),
        ("a short text", True),
        ("say: a short text. Yes", True),
        ("short a text", False),
        ("tiny it", False),
        ("", False),
    ],
)
def test_a_document_that_shares_a_run_of_words_is_known(document: str, expected: bool) -> None:
    exclusion = Exclusion("test", [TEXT, "A short text", "tiny it"], longest=6, shortest=3)
    assert (exclusion.num_texts, exclusion.num_too_short) == (2, 1)
    assert exclusion.matches(document) is expected


@given(st.lists(st.sampled_from("abc"), max_size=30), st.lists(st.sampled_from("abc"), max_size=30))
def test_exclusion_equals_a_search_through_all_runs(test: list[str], document: list[str]) -> None:
    size = min(4, len(test))
    runs = {tuple(test[i : i + size]) for i in range(len(test) - size + 1)} if size >= 2 else set()
    expected = any(tuple(document[i : i + size]) in runs for i in range(len(document) - size + 1))
    assert Exclusion("test", [" ".join(test)], longest=4, shortest=2).matches(" ".join(document)) is expected


def test_texts_of_a_file_are_sources_targets_and_lines(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"id": "a b c d", "src": "e f g h", "tgt": ["i", "j", "k"]}) + "\n")
    (tmp_path / "a.txt").write_text("l m n o\n")
    pairs, lines = (Exclusion.read(tmp_path / name, 3, 3) for name in ("a.jsonl", "a.txt"))
    assert [pairs.matches(text) for text in ("a b c d", "f g h", "i j k")] == [False, True, True]
    assert lines.matches("m n o")


def test_a_file_without_texts_to_look_for_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"src": "too short"}\n')
    with pytest.raises(InputError, match=r"--exclude .*a\.jsonl: expected texts of at least 3 words, found none"):
        Exclusion.read(tmp_path / "a.jsonl", 5, 3)
    (tmp_path / "a.jsonl").write_text('{"question": "a b c"}\n')
    with pytest.raises(InputError, match=r"a\.jsonl:1: expected a field src, tgt, text; found 'question'"):
        Exclusion.read(tmp_path / "a.jsonl", 5, 3)
