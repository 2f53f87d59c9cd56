"""JSON from anybody: what it holds, or one line; what we write is JSON for every reader."""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from s2s.errors import InputError
from s2s.json_files import dump_json, parse_json, parse_object, read_json, read_object

FINITE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64) + 1, 2**64 - 1) | st.text() | st.floats(-1e300, 1e300),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(FINITE)
@example("\ud800")
def test_what_is_written_is_read_again(value: object) -> None:
    assert parse_json(dump_json(value), "a") == value
    assert parse_json(dump_json(value, indent=1).encode("utf-8"), "a") == value


@given(st.lists(st.floats() | st.dictionaries(st.text(), st.floats())))
def test_no_number_that_is_not_finite_is_ever_written(value: object) -> None:
    text = dump_json(value)
    assert json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} was written")) is not None
    assert math.nan not in json.loads(text)


def test_half_a_surrogate_pair_is_escaped() -> None:
    assert dump_json({"é": "\ud800"}).encode("utf-8") == rb'{"\u00e9": "\ud800"}'
    assert dump_json({"é": "ß"}) == '{"é": "ß"}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"\xff", "a: invalid UTF-8 at byte 1"),
        ("{", "a: broken JSON: .* at column 2"),
        ('{"b": 1,\n "c" 2}', "a:2: broken JSON: .* at column 6"),
        ("[" * 101 + "]" * 101, "a: JSON that cannot be read: more than 100 levels"),
        ("[" * 100_000, "a: JSON that cannot be read: more than 100 levels"),
        ('{"a":' * 100_000, "a: JSON that cannot be read: more than 100 levels"),
        ("1" * 5000, "a: JSON that cannot be read: the integer .*; expected integers of at most 64 bits"),
        ("[-18446744073709551616]", "a: JSON that cannot be read: the integer"),
        ("[NaN]", "a: JSON that cannot be read: the number NaN; expected finite numbers"),
        ("-Infinity", "a: JSON that cannot be read: the number -Infinity"),
        ('{"a": 1e999}', "a: JSON that cannot be read: the number '1e999'"),
    ],
)
def test_what_cannot_be_used_is_one_line(text: str | bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse_json(text, "a")
    assert len(str(caught.value)) <= 300


@given(st.binary(max_size=40) | st.text('[]{}",:0123456789eE.-+ tfnNaI\\u', max_size=40))
def test_any_text_is_a_value_or_one_line(text: str | bytes) -> None:
    with contextlib.suppress(InputError):
        parse_json(text, "a")


def test_files_name_themselves(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1, 2]")
    assert read_json(tmp_path / "a.json") == [1, 2]
    with pytest.raises(InputError, match=r"a\.json: expected a JSON object, found a list \(\[1, 2\]\)"):
        read_object(tmp_path / "a.json")
    with pytest.raises(InputError, match=r"no\.json: cannot be read: No such file"):
        read_object(tmp_path / "no.json")
    with pytest.raises(InputError, match=r"cannot be read: Is a directory"):
        read_json(tmp_path)
    with pytest.raises(InputError, match="a: expected a JSON object, found null"):
        parse_object("null", "a")
