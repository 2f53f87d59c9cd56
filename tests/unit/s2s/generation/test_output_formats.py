"""What is written in each format reads back equal."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2s.data.records import records
from s2s.errors import InputError
from s2s.generation.output_formats import encoded, output_format, to_lines, write_parquet

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
SCORES = st.floats(-100, 0).map(lambda score: round(score, 4))
MADE = st.fixed_dictionaries(
    {
        "tgt": TEXTS,
        "score": SCORES,
        "nbest": st.lists(st.fixed_dictionaries({"tgt": TEXTS, "score": SCORES}), max_size=2),
    }
)
FAILED = st.fixed_dictionaries({"tgt": st.none(), "error": TEXTS.filter(bool)})
OUTPUTS = st.lists(st.one_of(MADE, FAILED), min_size=1, max_size=5).map(
    lambda rows: [{"id": number, **row} for number, row in enumerate(rows, start=1)]
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    outputs=OUTPUTS,
    kind=st.sampled_from(["jsonl", "csv", "tsv", "parquet"]),
    end=st.sampled_from(["", ".gz", ".bz2", ".xz", ".zst"]),
)
def test_outputs_read_back_equal_from_every_form_and_compression(tmp_path, outputs, kind, end):
    path = tmp_path / f"x.{kind}{'' if kind == 'parquet' else end}"
    format = output_format(str(path), is_text=False)
    content = b""
    for number, output in enumerate(outputs):  # each window is a member of its own
        content += encoded(to_lines([output], format, with_nbest=True, with_names=not number), path)
    if format == "parquet":
        (tmp_path / "rows.jsonl").write_bytes(content)
        write_parquet(tmp_path / "rows.jsonl", path)
    else:
        path.write_bytes(content)
    for (_, read), output in zip(records(str(path)), outputs, strict=True):
        assert {name: _value(value, output.get(name), format) for name, value in read.items()} == {
            name: _plain(output.get(name), format) for name in read
        }


def _value(read, written, format):
    if format in ("csv", "tsv"):
        return read if written is None or isinstance(written, str) else json.loads(read)
    return read


def _plain(written, format):
    if format in ("csv", "tsv") and written is None:
        return ""
    if format == "tsv" and isinstance(written, str):
        return written.replace("\n", " ").replace("\r", " ").replace("\t", " ")
    return written


def test_plain_text_is_the_best_output_on_a_line_of_its_own():
    made = [{"id": 1, "tgt": "a\nb\tc"}, {"id": 2, "tgt": None, "error": "x"}, {"id": 3, "tgt": ""}]
    assert to_lines(made, "text") == ["a b c", "", ""]


def test_standard_output_takes_the_form_of_the_input():
    assert (output_format("-", is_text=True), output_format("-", is_text=False)) == ("text", "jsonl")
    assert [output_format(name, is_text=True) for name in ("a", "a.json", "A.JSONL.GZ", "a.txt")] == ["jsonl"] * 3 + [
        "text"
    ]
    for name in ("a.arrow", "a.parquet.gz"):
        with pytest.raises(InputError, match=rf"{name}: is not written; give a name in .parquet"):
            output_format(name, is_text=False)
    for name in ("o.docx", "o.out", "runs.v2/o.jsn.gz"):
        with pytest.raises(
            InputError, match=r"o\.[a-z.]+: the suffix must be one of \.jsonl, .*\.parquet, found '\.[a-z]+'"
        ):
            output_format(name, is_text=False)


def test_ids_of_a_parquet_file_are_numbers_only_if_all_are(tmp_path):
    for ids, wanted in (([1, 2], [1, 2]), ([1, "a"], ["1", "a"])):
        path = tmp_path / "rows.jsonl"
        path.write_bytes(encoded(to_lines([{"id": id, "tgt": "a", "score": -1.0} for id in ids]), path))
        write_parquet(path, tmp_path / "x.parquet")
        assert [record["id"] for _, record in records(str(tmp_path / "x.parquet"))] == wanted
