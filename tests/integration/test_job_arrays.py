"""Shards of an input and their joining: the files of one process, whatever is missing, killed or mixed up."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import tiny_decoding as tiny
from hypothesis import given
from hypothesis import strategies as st

from s2s.data.records import open_records
from s2s.errors import InputError
from s2s.generation.job_array import Shard, join_shards


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    tiny.write_input(path, 40)
    return path


def decode_shards(source: Path, output: Path, count: int, left_out: tuple[int, ...] = (), **options: object) -> None:
    for number in range(1, count + 1):
        if number not in left_out:
            tiny.decode(source, output, shard=Shard(number, count), **options)


@given(windows=st.integers(0, 3000), count=st.integers(1, 100))
def test_shards_take_each_window_once_in_order_and_are_of_one_size(windows: int, count: int) -> None:
    parts = [Shard(number, count).of(windows) for number in range(1, count + 1)]
    assert [window for part in parts for window in part] == list(range(windows))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "out.txt.gz", "out.parquet"])
@pytest.mark.parametrize("count", [1, 3, 6])
def test_joined_shards_are_the_files_of_one_process(source: Path, tmp_path: Path, name: str, count: int) -> None:
    (tmp_path / "one").mkdir()
    whole, output = tmp_path / "one" / name, tmp_path / name
    one = tiny.decode(source, whole, window=5)
    decode_shards(source, output, count, window=5)
    joined = join_shards(output, remove=True)
    assert (joined.shards, joined.lines, joined.failed) == (count, one.lines, one.failed)
    for end in ("", ".errors.jsonl", ".state.json"):
        assert Path(f"{output}{end}").read_bytes() == Path(f"{whole}{end}").read_bytes()
    assert len(list(tmp_path.iterdir())) == 5, "the shards are removed"


def test_one_process_finds_the_joined_output_finished(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    decode_shards(source, tmp_path / "out.jsonl", 2)
    join_shards(tmp_path / "out.jsonl")
    assert tiny.decode(source, tmp_path / "out.jsonl").lines == 40
    assert "already finished, 40 lines" in caplog.text


def test_more_shards_than_lines_leave_some_with_nothing(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"src": "w1"}\n{"src": "w2 w3"}\n')
    for name in ("out.jsonl", "out.parquet"):
        decode_shards(source, tmp_path / name, 5)
        assert join_shards(tmp_path / name).lines == 2
        assert [record["id"] for _, record in open_records(tmp_path / name)] == [1, 2]


def test_a_list_on_one_line_is_divided_without_loss(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text(json.dumps([{"src": f"w{number}"} for number in range(20)]))
    decode_shards(tmp_path / "in.json", tmp_path / "out.jsonl", 3)
    assert join_shards(tmp_path / "out.jsonl").lines == 20


def test_missing_and_unfinished_shards_are_listed(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    with pytest.raises(
        InputError, match=r"out\.jsonl: no shard of it is there; expected files such as .*-1-of-8\.json"
    ):
        join_shards(output)
    decode_shards(source, output, 9, left_out=(2, 5, 6, 7, 9))
    with pytest.raises(InputError, match=r"of 9 shards, 5 are missing: 2, 5-7, 9; run them, then join again"):
        join_shards(output)
    decode_shards(source, output, 9)
    (tmp_path / "out.shard-3-of-9.jsonl.parts").mkdir()
    with pytest.raises(InputError, match=r"of 9 shards, 1 are not finished: 3;"):
        join_shards(output)
    assert not output.exists()


def test_shards_that_do_not_belong_together_are_refused(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    decode_shards(source, output, 2)
    shutil.copy(tmp_path / "out.shard-1-of-2.jsonl", tmp_path / "out.shard-1-of-3.jsonl")
    with pytest.raises(InputError, match="there are shards of 2 and 3; remove those of another division"):
        join_shards(output)
    (tmp_path / "out.shard-1-of-3.jsonl").unlink()
    tiny.decode(source, output, shard=Shard(2, 2), settings={"decoder": {"beam_size": 1}}, overwrite=True)
    with pytest.raises(InputError, match=r"out\.shard-2-of-2\.jsonl: is of another job.*settings\.decoder\.beam_size"):
        join_shards(output)
    tiny.write_input(source, 41)
    tiny.decode(source, output, shard=Shard(2, 2), overwrite=True)
    with pytest.raises(InputError, match=r"is of another job than out\.shard-1-of-2\.jsonl: input differs"):
        join_shards(output)


def test_a_changed_shard_and_an_existing_output_are_refused(source: Path, tmp_path: Path) -> None:
    output, second = tmp_path / "out.jsonl", tmp_path / "out.shard-2-of-2.jsonl"
    decode_shards(source, output, 2)
    output.write_text("mine")
    with pytest.raises(InputError, match=r"out\.jsonl: exists already; give --overwrite"):
        join_shards(output)
    content = second.read_bytes()
    second.write_bytes(content[:-1] + b" ")
    with pytest.raises(InputError, match=r"out\.shard-2-of-2\.jsonl: was changed since it was written"):
        join_shards(output, overwrite=True)
    second.write_bytes(content)
    assert join_shards(output, overwrite=True).lines == 40


@pytest.mark.parametrize("given", ["0/3", "4/3", "1/0", "a/b", "3", "1/3/5", "-1/3", "1/10000000"])
def test_what_is_no_shard_is_refused(given: str) -> None:
    with pytest.raises(InputError, match="must be I/N with 1 <= I <= N"):
        Shard.parse(given)


def test_pipes_and_traces_are_not_divided(source: Path, tmp_path: Path) -> None:
    half = Shard(1, 2)
    for pair in (("-", tmp_path / "out.jsonl"), (source, "-")):
        with pytest.raises(InputError, match="--shard 1/2: standard input and output cannot be divided; name files"):
            tiny.decode(*pair, shard=half)
    with pytest.raises(InputError, match="--shard 1/2: traces are not joined; leave --trace out"):
        tiny.decode(source, tmp_path / "out.jsonl", shard=half, trace=tmp_path / "t.jsonl")


def test_an_empty_input_is_refused_by_each_shard(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").touch()
    with pytest.raises(InputError, match=r"in\.jsonl: the file is empty"):
        tiny.decode(tmp_path / "in.jsonl", tmp_path / "out.jsonl", shard=Shard(2, 2))


def test_a_shard_that_was_stopped_goes_on(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output, calls = tmp_path / "out.jsonl", []
    search = tiny.BeamSearch.__call__

    def stop_at_the_third(*args: object) -> object:
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return search(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(tiny.BeamSearch, "__call__", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        tiny.decode(source, output, shard=Shard(2, 2))
    with pytest.raises(InputError, match=r"1 are missing: 1"):
        join_shards(output)
    decode_shards(source, output, 2)
    tiny.decode(source, tmp_path / "whole.jsonl")
    join_shards(output)
    assert output.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert [json.loads(line)["id"] for line in output.open()] == [f"line-{number}" for number in range(40)]
