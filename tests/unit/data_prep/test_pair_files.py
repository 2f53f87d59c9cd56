import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_prep.corpus_writer import Pair
from data_prep.pair_files import read_parallel, read_s2s_ft, read_table, write
from s2s.errors import InputError


def sides(pairs: Iterator[Pair]) -> list[tuple[object, object]]:
    return [(pair.source, pair.target) for pair in pairs]


def file(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_table_is_read_by_number_and_by_name(tmp_path: Path) -> None:
    path = file(tmp_path / "a.tsv", "body\tnote\thead\r\nsource\tx\ttarget\r\n")
    assert sides(read_table(path, "body", "head", "train")) == [("source", "target")]
    assert sides(read_table(path, "1", "3", "train"))[1] == ("source", "target")
    assert [pair.id for pair in read_table(path, "1", "3", "train")] == ["train-1", "train-2"]


def test_separators_of_unicode_do_not_end_a_line(tmp_path: Path) -> None:
    path = file(tmp_path / "a.tsv", "\ufeffone\u2028two\x0bthree\ttarget\n")
    assert sides(read_table(path, "1", "2", "train")) == [("one\u2028two\x0bthree", "target")]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (("1", "3"), "a.tsv:2: expected at least 3 columns between tabs, found 2"),
        (("body", "haed"), "a.tsv:1: no column is called 'haed'; found 'body', 'note', 'head'"),
        (("0", "1"), "columns are counted from 1, got 0"),
    ],
)
def test_table_without_the_column_is_refused(tmp_path: Path, columns: tuple[str, str], message: str) -> None:
    path = file(tmp_path / "a.tsv", "body\tnote\thead\nonly\ttwo\n")
    with pytest.raises(InputError, match=re.escape(message)):
        list(read_table(path, *columns, "train"))


def test_parallel_lines_stay_together_where_one_is_blank(tmp_path: Path) -> None:
    source, target = file(tmp_path / "s.gz", gzip.compress(b"a\n\nc\n")), file(tmp_path / "t", "x\ny\n\n")
    summary = write(tmp_path / "out", "Parallel files", {"train": read_parallel(source, target, "train")})
    assert (tmp_path / "out/train.jsonl").read_text() == '{"id": "train-1", "src": "a", "tgt": "x"}\n'
    assert "1 / 0 / 0 pairs (train / valid / test); skipped 2 empty source or target" in summary


def test_parallel_files_of_unequal_length_are_refused(tmp_path: Path) -> None:
    long, short = file(tmp_path / "long", "a\nb\n"), file(tmp_path / "short", "x\n")
    for pair in ((long, short), (short, long)):
        with pytest.raises(InputError, match=re.escape(f"{long}:2: {short} ends before this line")):
            list(read_parallel(*pair, "train"))


def test_s2s_ft_lines_keep_tokens_and_ids(tmp_path: Path) -> None:
    path = file(tmp_path / "a.json", '{"src": ["to", "##ken"], "tgt": ["x"]}\n{"id": 7, "src": "a", "tgt": "b"}\n')
    pairs = list(read_s2s_ft(path, "test"))
    assert [(pair.id, pair.source, pair.target) for pair in pairs] == [
        ("test-1", ["to", "##ken"], ["x"]),
        ("7", "a", "b"),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"src": "a"}', "a.json:1: 'tgt' is missing; found 'src'"),
        (b'{"src": "a", "tgt": 3}', "a.json:1: 'tgt' must be a string or a list of tokens, found a number (3)"),
        (b'{"src": ["a"], "tgt": "b"}', "a.json:1: 'src' and 'tgt' must both be strings or both be lists of tokens"),
        (b'{"src": "a", "tgt"', "a.json:1: broken JSON"),
        (b'["a"]', "a.json:1: expected a JSON object, found a list"),
        (b'{"src": "\xff"}', "a.json:1: invalid UTF-8 at byte 10"),
        (b"", "a.json: the file is empty"),
    ],
)
def test_bad_s2s_ft_line_is_named(tmp_path: Path, line: bytes, message: str) -> None:
    path = file(tmp_path / "a.json", line)
    with pytest.raises(InputError, match=re.escape(message)):
        list(read_s2s_ft(path, "train"))


def test_bad_text_files_are_named(tmp_path: Path) -> None:
    good = file(tmp_path / "good", "a\n")
    for content, message in ((b"", "bad: the file is empty"), (b"a\xff\n", "bad:1: invalid UTF-8 at byte 2")):
        with pytest.raises(InputError, match=message):
            list(read_parallel(file(tmp_path / "bad", content), good, "train"))
    with pytest.raises(InputError, match="none: cannot be read: No such file"):
        list(read_parallel(tmp_path / "none", good, "train"))
    truncated = file(tmp_path / "t.gz", gzip.compress(b"a\n")[:-4])
    with pytest.raises(InputError, match=r"t\.gz: cannot be read: Compressed file ended"):
        list(read_parallel(truncated, good, "train"))


def test_no_split_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--train, --valid, --test: at least one must be given"):
        write(tmp_path / "out", "Tables", {})


def test_cells_of_tables_are_text(tmp_path: Path) -> None:
    rows = ['"She said hi\tone two', 'he "replied" loudly\tNA', "null\t007", "None\t1,234", "True\t''", 'nan\t"a""b"']
    (tmp_path / "a.tsv").write_bytes("\n".join(rows).encode())
    found = [(pair.source, pair.target) for pair in read_table(tmp_path / "a.tsv", "1", "2", "train")]
    assert found == [tuple(row.split("\t")) for row in rows]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\tb\rc\td\r", r"a\.tsv:1: a carriage return \(CR\) at character 4; expected UTF-8 text whose lines end"),
        (b"a\tb\n\rc\td\n", r"a\.tsv:2: a carriage return \(CR\) at character 1"),
        ("a\tb\n".encode("utf-16"), r"a\.tsv:1: UTF-16; expected UTF-8 text"),
        ("a\tb\n".encode("utf-16-be"), r"a\.tsv:1: a NUL at character 1; expected UTF-8 text"),
    ],
)
def test_files_with_other_line_ends_or_encodings_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.tsv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        list(read_table(tmp_path / "a.tsv", "1", "2", "train"))


def test_mark_and_crlf_are_no_part_of_a_table(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes(b"\xef\xbb\xbfa\tb\r\nc\td\r\n")
    assert [(p.source, p.target) for p in read_table(tmp_path / "a.tsv", "1", "2", "t")] == [("a", "b"), ("c", "d")]


@pytest.mark.parametrize("column", ["²", "0", "-1", "9" * 5000, "1.5", ""])
def test_columns_that_are_not_there_are_refused(tmp_path: Path, column: str) -> None:
    (tmp_path / "a.tsv").write_text("a\tb\n")
    with pytest.raises(InputError, match=r"columns are counted from 1|no column is called|expected at least"):
        list(read_table(tmp_path / "a.tsv", column, "2", "train"))
