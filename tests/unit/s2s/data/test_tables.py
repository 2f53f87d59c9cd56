"""Tables of text give back what was written in them, cell for cell and row for row, or the line that is wrong."""

import csv
import gzip
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.data.files import read_lines
from s2s.data.jsonl import read_records
from s2s.data.records import records
from s2s.errors import InputError

CELLS = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.sampled_from(["NA", "null", "None", "nan", "007", "1234", "1.0", "True", ""]),
    st.sampled_from(['"', '"She said', "a\u2028b\x0bc", "\ufeffx"]),
)
LINES = CELLS.map(lambda text: "".join(c for c in text if c not in "\t\n\r\0"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


def found(path):
    return [list(record.values()) for _, record in records(str(path))]


@given(st.lists(st.lists(CELLS.map(lambda text: text.replace("\0", "")), min_size=2, max_size=2), min_size=1))
def test_csv_gives_back_what_the_csv_module_wrote(folder, rows):
    written = io.StringIO(newline="")
    csv.writer(written).writerows([["src", "tgt"], *rows])
    path = folder / "x.csv"
    path.write_bytes(written.getvalue().encode())
    assert found(path) == rows


@given(st.lists(st.lists(LINES, min_size=2, max_size=2), min_size=1), st.sampled_from(["\n", "\r\n"]))
def test_tsv_gives_back_every_line_as_a_row_of_plain_text(folder, rows, end):
    path = folder / "x.tsv"
    path.write_bytes("".join("\t".join(row) + end for row in [["src", "tgt"], *rows]).encode())
    assert found(path) == rows


@pytest.mark.parametrize("name", ["A.CSV", "a.csv", "a.Csv.GZ", "b.csv.gz"])
def test_suffixes_mean_the_same_in_any_case_and_byte_order_marks_are_dropped(tmp_path, name):
    content = "\ufeffsrc,tgt\nNA,007\n".encode()
    (tmp_path / name).write_bytes(gzip.compress(content, mtime=0) if name.lower().endswith("gz") else content)
    assert list(records(str(tmp_path / name))) == [(f"{tmp_path / name}:2", {"src": "NA", "tgt": "007"})]


def test_json_lines_may_be_compressed_and_named_in_capitals(tmp_path):
    (tmp_path / "A.JSONL").write_text('{"src": "a"}\n')
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(b'\n{"src": "a"}\n', mtime=0))
    assert [record for name in ("A.JSONL", "a.json.gz") for _, record in records(str(tmp_path / name))] == [
        {"src": "a"}
    ] * 2


def test_a_folder_of_tables_is_read_as_text_too(tmp_path):
    (tmp_path / "train.csv").write_text("src,tgt\n1,NA\n")
    (tmp_path / "test.csv").write_text("src,tgt\n2,null\n")
    assert found(tmp_path) == [["1", "NA"]]
    assert found(f"{tmp_path}:test") == [["2", "null"]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.tsv", b"src\ttgt\na\tb\na\tb\tc\n", r"x.tsv:3: expected 2 cells, as many as columns, found 3"),
        ("x.csv", b'src,tgt\n"a\nb",c\nd\n', r"x.csv:4: expected 2 cells, as many as columns, found 1"),
        ("x.csv", b'src,tgt\na,"b\nc,d\ne,f\n', r"x.csv:2: the row begins a quoted cell that is not closed"),
        ("x.csv", b'src,tgt\na,"b" c\n', r"x.csv:2: not a row of a table: .*expected after"),
        ("x.csv", b"src,tgt\ra,b\rc,d\r", r"x.csv:1: a carriage return inside the line; expected lines that end in"),
        ("x.tsv", b"src\ttgt\na\tb\rc\td\n", r"x.tsv:2: a carriage return inside the line"),
        ("x.tsv", "src\ttgt\na\tb\n".encode("utf-16"), r"x.tsv:1: UTF-16; expected UTF-8 text"),
        ("x.csv", b"src,tgt\na,\xff\n", r"x.csv:2: invalid UTF-8 at byte 3"),
        ("x.csv", b"src,src\na,b\n", r"x.csv:1: two columns are named 'src'"),
        ("x.csv", b"src,tgt\n\n", r"x.csv: the table is empty"),
        ("x.csv", b"", r"x.csv: the table is empty"),
        ("x.csv.gz", gzip.compress(b"src,tgt\na,b\n", mtime=0)[:-9], r"x.csv.gz: cannot be read: .*ended"),
        ("x.csv.gz", b"src,tgt\na,b\n", r"x.csv.gz: cannot be read: Not a gzipped file"),
    ],
)
def test_what_is_not_a_table_is_refused_with_its_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        found(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_line_too_long_to_be_read_is_refused_and_the_next_ones_are_not_lost(tmp_path, monkeypatch):
    monkeypatch.setattr("s2s.data.files.LONGEST_LINE", 20)
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": "' + b"x" * 200 + b'"}\n{"a": 2}\n')
    lines = list(read_lines(path))
    assert [line.number for line in lines] == [1, 2, 3]
    with pytest.raises(InputError, match=r"x.jsonl:2: the line is longer than .* MiB"):
        list(read_records(path))
