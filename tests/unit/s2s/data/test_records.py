"""The same records in every format and compression are the same records; what is broken is one line."""

import bz2
import csv
import gzip
import io
import json
import logging
import lzma
import tracemalloc
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2s.data.records import open_records, records
from s2s.errors import InputError

COMPRESS = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda content: pa.Codec("zstd").compress(content, asbytes=True),
}
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=20)
CELLS = st.one_of(TEXTS, st.sampled_from(['"', 'a "b", c', "a\nb", "NA", "007", "\ufeffx", "a\u2028b", ","]))
ROWS = st.lists(st.fixed_dictionaries({"id": TEXTS, "article": CELLS, "highlights": CELLS}), min_size=1, max_size=5)


def write(path: Path, rows: list[dict[str, str]]) -> str:
    """The rows in the format and compression that the name says."""
    suffix = next(end for end in (*list(COMPRESS)[1:], "") if path.name.endswith(end))
    kind = path.name.removesuffix(suffix).rpartition(".")[2]
    if kind in ("parquet", "arrow"):
        made = io.BytesIO()
        table = pa.Table.from_pylist(rows)
        if kind == "parquet":
            pq.write_table(table, made)
        else:
            with pa.ipc.new_stream(made, table.schema) as stream:
                stream.write_table(table)
        content = made.getvalue()
    elif kind == "jsonl":
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    else:
        cells = io.StringIO(newline="")
        csv.writer(cells).writerows([list(rows[0]), *([row[name] for name in rows[0]] for row in rows)])
        content = cells.getvalue().encode()
    path.write_bytes(COMPRESS[suffix](content))
    return str(path)


def found(name: str, role: str = "train") -> list[dict[str, str]]:
    return [record for _, record in open_records(name, role)]  # type: ignore[arg-type]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, kind=st.sampled_from(["jsonl", "csv", "parquet", "arrow"]), compression=st.sampled_from([*COMPRESS]))
def test_every_format_and_compression_gives_the_same_records(tmp_path, rows, kind, compression):
    assert found(write(tmp_path / f"x.{kind}{compression}", rows)) == rows


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(TEXTS.map(lambda text: text.replace("\n", "")), min_size=1), end=st.sampled_from(["\n", "\r\n"]))
def test_text_gives_a_record_for_every_line_blank_ones_too(tmp_path, lines, end):
    path = tmp_path / "x.txt"
    path.write_bytes("".join(line + end for line in lines).encode())
    if lines[0].startswith("{"):
        return  # may be JSON
    assert [record["src"] for record in found(str(path))] == [lines[0].removeprefix("\ufeff"), *lines[1:]]


def test_a_compressed_file_may_have_several_members(tmp_path):
    for suffix, compress in list(COMPRESS.items())[1:]:
        path = tmp_path / f"x.jsonl{suffix}"
        path.write_bytes(compress(b'{"src": "a"}\n') + compress(b'{"src": "b"}\n'))
        assert [record["src"] for record in found(str(path))] == ["a", "b"]


@pytest.mark.parametrize("suffix", list(COMPRESS)[1:])
@pytest.mark.parametrize("damage", ["cut", "not compressed"])
def test_a_broken_compressed_file_is_one_line(tmp_path, suffix, damage):
    content = COMPRESS[suffix](b'{"src": "a"}\n' * 2000)
    path = tmp_path / f"x.jsonl{suffix}"
    path.write_bytes(content[:-5] if damage == "cut" else b'{"src": "a"}\n')
    with pytest.raises(InputError, match=rf"x\.jsonl\{suffix}: cannot be read: .") as caught:
        found(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", gzip.compress(b"src,tgt\na,b\n", mtime=0), r"x.csv: is compressed by gzip; give it a name in .gz"),
        ("x.jsonl", b"PAR1...", r"x.jsonl: is a Parquet file; give it a name in .parquet"),
        ("x.csv", b"PK\x03\x04...", r"x.csv: is a ZIP archive or a spreadsheet; unpack it, or save it as CSV"),
        ("x.txt", b'\n{"src": "a"}\n', r"x.txt:2: is a JSON record in a file of plain lines"),
        ("x.parquet", b"src,tgt\na,b\n", r"x.parquet: cannot be read as Parquet: ."),
        ("x.arrow", b"src,tgt\na,b\n", r"x.arrow: cannot be read as Arrow: ."),
        ("x.txt", b"", r"x.txt: the file is empty; expected one text a line"),
        ("nothing", b"", r"nothing: the file is empty; expected one JSON object a line"),
    ],
)
def test_what_its_name_does_not_say_is_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        found(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_without_a_known_suffix_the_first_line_tells(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    (tmp_path / "a").write_text('\n{"src": "a"}\n')
    assert found(str(tmp_path / "a")) == [{"src": "a"}]
    (tmp_path / "b.source").write_text("a text\n")
    assert found(str(tmp_path / "b.source")) == [{"src": "a text"}]
    assert "b.source: read as plain text, one text a line" in caplog.text


def test_a_bad_row_does_not_end_the_reading_of_a_table(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b'src,tgt\na,b\nonly\n\xff,c\nd,"e" f\ng,h\n')
    given = []
    for row in open_records(str(path)).rows():
        try:
            given.append((row.number, row.record()["src"]))
        except InputError as error:
            given.append((row.number, str(error).rpartition("x.csv")[2]))
    assert [number for number, _ in given] == [1, 2, 3, 4, 5]
    assert [given[0][1], given[4][1]] == ["a", "g"]
    assert given[1][1].startswith(":3: expected 2 cells")
    assert given[2][1].startswith(":4: invalid UTF-8 at byte 1")
    assert given[3][1].startswith(":5: not a row of a table")


def test_a_quote_that_is_never_closed_costs_little_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("s2s.data.files.LONGEST_LINE", 1 << 16)
    before = csv.field_size_limit(1 << 16)
    path = tmp_path / "x.csv"
    path.write_text('src,tgt\n"' + "a,b\n" * 500_000)
    try:
        tracemalloc.start()
        with pytest.raises(InputError, match=r"x.csv:2: a cell of more than .*is a quote that opens a cell not closed"):
            found(str(path))
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
        csv.field_size_limit(before)


def test_a_parquet_file_is_read_a_batch_at_a_time(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"src": ["x" * 1000] * 20_000}), path, row_group_size=1000, use_dictionary=False)
    tracemalloc.start()
    try:
        assert sum(1 for _ in records(str(path))) == 20_000
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_two_columns_of_one_name_are_refused(tmp_path):
    pq.write_table(
        pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["src", "src"]), tmp_path / "x.parquet"
    )
    with pytest.raises(InputError, match=r"x.parquet: two columns are named 'src'; rename one"):
        found(str(tmp_path / "x.parquet"))


@pytest.fixture
def folder(tmp_path):
    for split, text in (("train", "a"), ("validation", "b"), ("test", "c")):
        (tmp_path / "data").mkdir(exist_ok=True)
        pq.write_table(pa.table({"src": [text]}), tmp_path / "data" / f"{split}-00000-of-00001.parquet")
    (tmp_path / "README.txt").write_text("notes")
    return tmp_path


@pytest.mark.parametrize(("role", "text"), [("train", "a"), ("valid", "b"), ("test", "c")])
def test_each_role_takes_its_split_of_a_folder_and_says_so(folder, role, text, caplog):
    caplog.set_level(logging.INFO)
    saved = folder.with_name(f"{folder.name}-saved")
    datasets.DatasetDict(
        {
            name: datasets.Dataset.from_list([{"src": one}])
            for name, one in zip(("train", "dev", "test"), "abc", strict=True)
        }
    ).save_to_disk(saved)
    assert found(str(saved), role) == [{"src": text}]
    assert f"{saved}: reading the split" in caplog.text
    assert found(str(folder), role) == [{"src": text}]
    assert found(f"{folder}:{ {'valid': 'validation'}.get(role, role) }") == [{"src": text}]


def test_nothing_validates_on_the_split_for_training(tmp_path):
    (tmp_path / "train.csv").write_text("src,tgt\na,b\n")
    with pytest.raises(
        InputError, match=r"it has no split 'validation' or .*, only 'train'; name one, such as .*:train"
    ):
        found(str(tmp_path), "valid")
    assert len(found(f"{tmp_path}:train", "valid")) == 1
    assert len(found(str(tmp_path), "test")) == 1, "decoding takes the only split"


def test_a_folder_with_one_split_in_two_formats_is_refused(tmp_path):
    (tmp_path / "train.csv").write_text("src,tgt\na,b\n")
    (tmp_path / "train.jsonl").write_text('{"src": "a"}\n')
    with pytest.raises(InputError, match=r"holds .csv and .jsonl files for one split; name the file that is meant"):
        found(str(tmp_path))


def test_several_files_of_a_split_are_one_input_in_order(tmp_path):
    for number in (2, 1):
        (tmp_path / f"part-{number}.csv").write_text(f"src,tgt\n{number},b\n")
    given = open_records(str(tmp_path), "valid")
    assert [(row.number, row.record()["src"]) for row in given.rows()] == [(1, "1"), (2, "2")]
    assert len(given.files) == 2


def test_a_pipe_is_read_once_and_its_first_line_tells_what_it_holds(monkeypatch):
    class Standard:
        buffer = io.BytesIO(b"\n first\nsecond\n")

    monkeypatch.setattr("sys.stdin", Standard())
    given = open_records("-")
    assert (given.format, given.identity) == ("text", None)
    assert [record["src"] for _, record in given] == ["", " first", "second"]


@pytest.mark.parametrize("indent", [None, 1])
def test_a_list_of_objects_is_read_as_json_lines_are(tmp_path, indent):
    rows = [{"src": "a [b], {c}\n"}, {"src": 'd "e"', "tgt": None}]
    path = tmp_path / "x.json"
    path.write_text("\n" + json.dumps(rows, indent=indent))
    assert found(str(path)) == rows
    wheres = [row.where for row in open_records(path).rows()]
    assert wheres == [f"{path}:{line}" for line in ((3, 6) if indent else (2, 2))]


def test_what_is_wrong_with_a_list_is_said_once(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('[\n{"src": "a"},\n3,\n{"src": "b"}]')
    rows = list(open_records(path).rows())
    assert [row.number for row in rows] == [1, 2, 3]
    with pytest.raises(InputError, match=r"x\.json:3: .*object"):
        rows[1].record()
    path.write_text('[{"src": "a"},\n{"src" "b"}]')
    with pytest.raises(InputError, match=r"x\.json:2: broken JSON: Expecting ':' delimiter at column 8"):
        list(open_records(path).rows())
    path.write_text('[1]\n{"src": "a"}')  # JSON lines, the first of which is no object
    bad, good = open_records(path).rows()
    assert good.record() == {"src": "a"}
    with pytest.raises(InputError, match=r"x\.json:1: "):
        bad.record()
