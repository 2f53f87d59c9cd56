"""Scripts: what they may look like, where they are split, and what is refused with its file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latent.longform.script import ScriptLine, read_script
from latent.text.labels import same_speaker
from latent.text.splitting import Fits, split_text
from s2s.errors import InputError


def script(folder: Path, content: str, name: str = "talk.txt", most: int = 200) -> list[ScriptLine]:
    (folder / name).write_text(content, encoding="utf-8")
    return read_script(folder / name, at_most(most))


def at_most(characters: int) -> Fits:
    return lambda text: len(text) <= characters


def said(lines: list[ScriptLine]) -> list[tuple[str, str]]:
    return [(line.speaker, line.text) for line in lines]


def test_names_continuations_and_blank_lines(tmp_path: Path) -> None:
    lines = script(
        tmp_path,
        "\ufeffNobody said this.\n\nSpeaker 2: Good evening,\nhere  is\n  the news: all well.\n\nIt is 10:30.\n"
        "Dr. No Good : Ah.\r\nanna:\n  Later.\n",
    )
    assert said(lines) == [
        ("Speaker 1", "Nobody said this."),
        ("Speaker 2", "Good evening, here is the news: all well."),
        ("Speaker 2", "It is 10:30."),
        ("Dr. No Good", "Ah."),
        ("anna", "Later."),
    ]
    assert [line.where.rpartition(":")[2] for line in lines] == ["1", "3", "7", "8", "9"]


def test_pauses_divide_a_line_and_add_up(tmp_path: Path) -> None:
    lines = script(tmp_path, "A: One. [pause 0.5] Two.\n\n[Pause: 1s]\n[pause .25]\nB: Three. [pause 0]\nA: Four.")
    assert said(lines) == [("A", "One."), ("A", "Two."), ("B", "Three."), ("A", "Four.")]
    assert [line.pause for line in lines] == [0.5, 1.25, 0.0, None]
    assert [line.part for line in lines] == [0, 1, 0, 0]


def test_json_and_json_lines_say_the_same(tmp_path: Path) -> None:
    records = [
        {"speaker": 1, "text": "One [pause 2] two."},
        {"speaker": "anna", "text": "Three.", "pause": 1, "seed": 7},
        {"text": "Four."},
    ]
    listed = script(tmp_path, "[\n" + ",\n\n".join(map(json.dumps, records)) + "]", "a.json")
    by_line = script(tmp_path, "\n\n".join(map(json.dumps, records)), "a.jsonl")
    expected = [("Speaker 1", "One"), ("Speaker 1", "two."), ("anna", "Three."), ("Speaker 1", "Four.")]
    assert said(listed) == said(by_line) == expected
    for lines in (listed, by_line):
        assert [line.pause for line in lines] == [2.0, None, 1.0, None]
        assert [line.seed for line in lines] == [None, None, 7, None]
    assert [line.where.rpartition(":")[2] for line in listed] == ["2", "2", "4", "6"]
    assert [line.where.rpartition(":")[2] for line in by_line] == ["1", "1", "3", "5"]


def test_a_long_line_is_split_at_the_end_of_a_sentence(tmp_path: Path) -> None:
    lines = script(tmp_path, 'A: "One." Two, three. Four five six [pause 2]', most=12)
    assert [(line.text, line.part, line.pause) for line in lines] == [
        ('"One."', 0, None),
        ("Two, three.", 1, None),
        ("Four five", 2, None),
        ("six", 3, 2.0),
    ]


@given(st.text(st.sampled_from('ab .,!é。\n"'), max_size=60), st.integers(1, 20))
def test_split_text_loses_nothing_and_keeps_the_limit(text: str, most: int) -> None:
    pieces = split_text(text, at_most(most))
    assert "".join(pieces).replace(" ", "") == "".join(text.split())
    assert all(0 < len(piece) <= most or text.isspace() or not text for piece in pieces)


def test_text_that_fits_is_not_split() -> None:
    assert split_text("One. Two. Three.", at_most(16)) == ["One. Two. Three."]
    assert split_text("一。二。三。", at_most(4)) == ["一。二。", "三。"]


def test_names_compare_without_case_and_spaces() -> None:
    assert same_speaker(" Speaker  1 ") == same_speaker("speaker 1")


def test_a_text_that_cannot_be_said_is_told_with_its_place(tmp_path: Path) -> None:
    def refusing(text: str) -> bool:
        raise InputError(f"{text} cannot be said")

    (tmp_path / "a.txt").write_text("A: bb\n\nA: cc")
    with pytest.raises(InputError, match=r"a.txt:1: bb cannot be said"):
        read_script(tmp_path / "a.txt", refusing)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "", r"a.txt: nothing is said in it"),
        ("a.txt", "A: b\nC:\n\nD: e", r"a.txt:2: 'C' says nothing"),
        ("a.txt", "[pause 1]\nA: b", r"a.txt:1: a script cannot begin with a pause"),
        ("a.txt", "A: b\nA: c [pause soon]", r"a.txt:2: a pause is written \[pause SECONDS\], found \[pause soon\]"),
        ("a.txt", "A: c [pause]", r"a.txt:1: a pause is written"),
        ("a.txt", "A: c [pause -1]", r"a.txt:1: a pause must be 0 to 600 seconds, found -1"),
        ("a.txt", "A: c [pause nan]", r"a.txt:1: a pause must be 0 to 600 seconds, found nan"),
        ("a.json", '"b"', r"a.json: expected a list of objects, found"),
        ("a.json", "[]", r"a.json: nothing is said in it"),
        ("a.json", '[\n{"text": "One.", "seed": 18446744073709551616}]', r"a.json:2: JSON .* at most 64 bits"),
        ("a.json", '[{"text": "b"},\n{"text": }]', r"a.json:2: broken JSON"),
        ("a.json", '[{"text": "b"},\n{"text": 3}]', r"a.json:2: 'text' must be a string that is not blank, found a nu"),
        ("a.json", '[\n"b"]', r"a.json:2: expected a JSON object, found a string"),
        ("a.jsonl", '{"text": "b"}\n{"speaker": "", "text": "c"}', r"a.jsonl:2: 'speaker' must be a string"),
        ("a.jsonl", '{"txt": "b"}', r"a.jsonl:1: no field is called 'txt'"),
        ("a.jsonl", '{"text": "b", "pause": "1"}', r"a.jsonl:1: 'pause' must be 0 to 600 seconds, found a string"),
        ("a.jsonl", '{"text": "b", "seed": -1}', r"a.jsonl:1: 'seed' must be a whole number from 0, found a number"),
    ],
)
def test_mistakes_are_told_with_file_and_line(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        script(tmp_path, content, name)


def test_unreadable_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"A: b\nA: \xff\n")
    with pytest.raises(InputError, match=r"a.txt:2: invalid UTF-8 at byte 4"):
        read_script(tmp_path / "a.txt", at_most(100))
    with pytest.raises(InputError, match=r"none.txt: cannot be read"):
        read_script(tmp_path / "none.txt", at_most(100))
