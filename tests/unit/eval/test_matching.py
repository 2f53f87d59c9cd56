"""Which hypothesis belongs to which reference, and what is said when that cannot be told."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eval.matching import Entry, match, read_hypotheses, read_references
from s2s.data.fields import Fields
from s2s.errors import InputError


def write(path: Path, records: list[Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def entries(ids: list[str | None]) -> list[Entry]:
    return [Entry(f"f.jsonl:{n}", id, f"text of {id}") for n, id in enumerate(ids, start=1)]


@given(order=st.permutations(["a", "b", "c", "d", "e"]))
def test_order_does_not_matter_where_both_have_ids(order: list[str]) -> None:
    found = match(entries(list(order)), entries(["c", "a", "b", "e", "d"]), "y", "x")
    assert [entry.text[-1] for entry in found] == ["c", "a", "b", "e", "d"]


def test_lines_belong_together_where_one_file_has_no_ids() -> None:
    assert [entry.id for entry in match(entries(["q", "p"]), entries([None, None]), "y", "x")] == ["q", "p"]


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        (["a"], ["a", "b", "c"], r"^y: 2 of 3 references have no hypothesis, the first is 'b'$"),
        (["a", "z", "b"], ["a", "b"], r"^y: 1 of 3 hypotheses have no reference, the first is 'z'$"),
        (["a", "b", "b"], ["a", "b"], r"^y: 1 ids occur more than once, the first is 'b'$"),
        (["a", "b"], ["b", "a", "a", "b"], r"^x: 2 ids occur more than once, the first is 'b'$"),
        (["a", None, None], ["a", "b", "c"], r"^y: 2 of 3 records have no id, the first is f.jsonl:2; expected an id"),
        (["a", "b"], [None, "b"], r"^x: 1 of 2 records have no id, the first is f.jsonl:1"),
        ([None], [None, None], r"^y has 1 hypotheses, x has 2 references; without an id in both files they must be"),
    ],
)
def test_what_does_not_fit_is_counted_and_named(ours: list[str | None], theirs: list[str | None], message: str) -> None:
    with pytest.raises(InputError, match=message):
        match(entries(ours), entries(theirs), "y", "x")


def test_hypotheses_may_be_empty_or_failed(tmp_path: Path) -> None:
    path = write(
        tmp_path / "y.jsonl", [{"id": 1, "tgt": "a"}, {"id": 2, "tgt": ""}, {"id": 3, "tgt": None, "error": "x"}]
    )
    found = read_hypotheses(path, Fields())
    assert [(entry.id, entry.text, entry.failed) for entry in found] == [
        ("1", "a", False),
        ("2", "", False),
        ("3", "", True),
    ]


def test_hypotheses_of_a_file_of_pseudo_labels_are_its_labels_and_its_references_are_gold(tmp_path: Path) -> None:
    path = write(tmp_path / "labels.jsonl", [{"src": "a", "tgt": "gold", "tgt_pseudo": "label"}])
    assert [entry.text for entry in read_hypotheses(path, Fields())] == ["label"]
    assert [entry.text for entry in read_references(path, Fields())] == ["gold"]


def test_lists_of_tokens_are_joined(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", [{"src": ["un", "##real", "day"], "tgt": ["un", "##real"]}])
    assert [(entry.text, entry.source) for entry in read_references(path, Fields())] == [("unreal", "unreal day")]


def test_plain_files_keep_their_empty_lines(tmp_path: Path) -> None:
    path = tmp_path / "y.txt"
    path.write_text("\ufeffone\n\nthree\r\n", encoding="utf-8")
    assert [entry.text for entry in read_hypotheses(path, Fields())] == ["one", "", "three"]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1), min_size=1))
def test_plain_and_json_lines_say_the_same(tmp_path: Path, texts: list[str]) -> None:
    plain = tmp_path / "y.txt"
    plain.write_text("\n".join(texts) + "\n", encoding="utf-8", newline="\n")
    records = write(tmp_path / "y.jsonl", [{"tgt": text} for text in texts])
    assert [entry.text for entry in read_hypotheses(plain, Fields())] == [
        entry.text for entry in read_hypotheses(records, Fields())
    ]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"id": "a"}, r"y.jsonl:1: 'tgt' is missing; found 'id'; --target-field names another"),
        ({"tgt": 3}, r"y.jsonl:1: 'tgt' must be a string or a list of tokens, found a number \(3\)"),
        ({"tgt": "a", "id": [1]}, r"y.jsonl:1: 'id' must be a string or a whole number, found a list"),
        ({"tgt": "a", "id": True}, r"y.jsonl:1: 'id' must be a string or a whole number, found a boolean"),
        ([1], r"y.jsonl:1: expected a JSON object, found a list"),
    ],
)
def test_broken_hypotheses_are_named(tmp_path: Path, record: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_hypotheses(write(tmp_path / "y.jsonl", [record]), Fields())


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"tgt": ""}, r"x.jsonl:1: 'tgt' is empty"),
        ({"tgt": None}, r"x.jsonl:1: 'tgt' must be a string or a list of tokens, found null"),
        ({"tgt": "a", "src": 1}, r"x.jsonl:1: 'src' must be a string or a list of tokens"),
    ],
)
def test_broken_references_are_named(tmp_path: Path, record: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_references(write(tmp_path / "x.jsonl", [record]), Fields())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"x.txt: cannot be read: No such file"),
        (b"\n \n", r"x.txt: all lines are empty; expected one text a line"),
        (b"a\n\nb\n", r"x.txt:2: the line is empty; expected a reference on every line"),
        (b"a\nb\xff\n", r"x.txt:2: invalid UTF-8 at byte 2"),
    ],
)
def test_broken_plain_references_are_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "x.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_references(path, Fields())


@pytest.mark.parametrize("name", ["x.JSONL", "x.Json", "x.ndjson", "x.jsonl.gz"])
def test_the_case_of_a_suffix_does_not_matter(tmp_path: Path, name: str) -> None:
    content = b'{"src": "b", "tgt": "a"}\n'
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert [entry.text for entry in read_references(tmp_path / name, Fields())] == ["a"]
    assert [entry.text for entry in read_hypotheses(tmp_path / name, Fields())] == ["a"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("y.txt", b'{"id": "1", "tgt": "a"}\n', r"y.txt:1: is a JSON record in a file of plain lines"),
        ("y.jsonl", b"plain text\n", r"y.jsonl:1: broken JSON"),
        ("y.tsv", b"a\tb\n", r"y.tsv: the table is empty"),
        ("y.txt", b"a\rb\r", r"y.txt:1: a carriage return"),
        ("y.txt", "a\n".encode("utf-16"), r"y.txt:1: UTF-16; expected UTF-8 text"),
        ("y.txt", b"\n\n \n", r"y.txt: all lines are empty"),
    ],
)
def test_wrong_guesses_by_a_name_are_noticed(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    for read in (read_hypotheses, read_references):
        with pytest.raises(InputError, match=message):
            read(tmp_path / name, Fields())
