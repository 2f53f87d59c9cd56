"""Folders of parts on a disk and at URLs: jobs that continue by parts, locks, and what is not ours."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

import fsspec
import pytest
import tiny_decoding as tiny

from s2s.data.records import open_records
from s2s.errors import InputError
from s2s.generation import parts_folder
from s2s.generation.job_array import Shard
from s2s.generation.parts_folder import claimed_folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    tiny.write_input(path, 40)
    return path


@pytest.fixture
def bucket() -> str:
    """A folder in memory, which fsspec keeps as it keeps buckets."""
    return f"memory://{uuid.uuid4().hex}"


def outputs(name: Any) -> list[dict[str, Any]]:
    return [record for _, record in open_records(name)]


@pytest.mark.parametrize("name", ["out/", "out.jsonl.gz/", "out.parquet/"])
@pytest.mark.parametrize("at", ["disk", "url"])
def test_parts_are_the_outputs_of_a_file(source: Path, tmp_path: Path, bucket: str, name: str, at: str) -> None:
    one = tiny.decode(source, tmp_path / "one.jsonl")
    folder = f"{bucket}/{name}" if at == "url" else f"{tmp_path}/{name}"
    assert tiny.decode(source, folder) == one
    expected, made = outputs(tmp_path / "one.jsonl"), outputs(folder)
    if "parquet" in name:
        made = [{key: value for key, value in record.items() if value is not None or key == "tgt"} for record in made]
    assert made == expected
    system, path = fsspec.core.url_to_fs(folder)
    errors = system.cat_file(f"{path.rstrip('/')}/_errors.jsonl")
    assert errors == (tmp_path / "one.jsonl.errors.jsonl").read_bytes()
    assert not system.exists(f"{path.rstrip('/')}/_lock")


def test_an_input_at_a_url_is_read_as_on_a_disk(source: Path, tmp_path: Path, bucket: str) -> None:
    system = fsspec.filesystem("memory")
    lines = source.read_bytes().splitlines(keepends=True)
    system.pipe_file(f"{bucket}/in/a.jsonl", b"".join(lines[:25]))
    system.pipe_file(f"{bucket}/in/b/c.jsonl", b"".join(lines[25:]))
    system.pipe_file(f"{bucket}/in/_job.json", b"{}")
    assert tiny.decode(f"{bucket}/in", tmp_path / "out.jsonl") == tiny.decode(source, tmp_path / "one.jsonl")
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "one.jsonl").read_bytes()
    system.pipe_file(f"{bucket}/in/a.jsonl", b"".join(lines[:24]))
    with pytest.raises(InputError, match=r"out\.jsonl: belongs to another job \(input was"):
        tiny.decode(f"{bucket}/in", tmp_path / "out.jsonl")
    assert tiny.decode(f"{bucket}/in/a.jsonl", tmp_path / "a.jsonl").lines == 24


def test_a_stopped_job_goes_on_by_parts(
    source: Path, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search, calls = tiny.BeamSearch.__call__, []

    def stop_once(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return search(*args)

    monkeypatch.setattr(tiny.BeamSearch, "__call__", stop_once)
    for folder in (f"{bucket}/out", f"{tmp_path}/out/"):
        calls.clear()
        with pytest.raises(KeyboardInterrupt):
            tiny.decode(source, folder)
        system, path = fsspec.core.url_to_fs(folder)
        whole = sorted(system.ls(f"{path.rstrip('/')}/_done", detail=False))
        system.pipe_file(whole[-1], system.cat_file(whole[-1])[:9])  # a kill cut it off
        before = len(calls)
        assert tiny.decode(source, folder).lines == 40
        assert tiny.decode(source, folder).lines == 40
        tiny.decode(source, tmp_path / "one.jsonl")
        assert outputs(folder) == outputs(tmp_path / "one.jsonl")
        assert len(calls) > before


def test_two_processes_cannot_write_one_folder(
    source: Path, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (f"{bucket}/out", f"{tmp_path}/out/"):
        with claimed_folder(folder), pytest.raises(InputError, match=r"another process is writing it.*choose another"):
            tiny.decode(source, folder)
    lock = {"owner": "x", "host": "gone", "time": time.time() - 200}
    fsspec.filesystem("memory").pipe_file(f"{bucket}/out/_lock", json.dumps(lock).encode())
    assert tiny.decode(source, f"{bucket}/out").lines == 40, "the lock of a process that has ended"


def test_a_lock_is_renewed(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_folder, "_BEAT_SECONDS", 0.01)
    read = fsspec.filesystem("memory").cat_file
    with claimed_folder(f"{bucket}/out"):
        first = json.loads(read(f"{bucket}/out/_lock"))["time"]
        time.sleep(0.2)
        assert json.loads(read(f"{bucket}/out/_lock"))["time"] > first


def test_what_a_folder_of_parts_cannot_be(source: Path, tmp_path: Path, bucket: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").touch()
    for output, options, message in [
        (f"{tmp_path}/mine/", {}, "holds files already, which are not of this job; give --overwrite"),
        (f"{bucket}/out.csv", {}, r"holds JSON lines or Parquet; name it so, as in out\.parquet/"),
        (f"{bucket}/out", {"shard": Shard(1, 2)}, "--shard 1/2: a folder of parts is not divided"),
        (f"{bucket}/out", {"trace": "t.jsonl"}, "a folder of parts has no traces"),
        ("nosuch://b/out", {}, r"^nosuch://b/out: cannot be read: Protocol not known: nosuch"),
    ]:
        with pytest.raises(InputError, match=message):
            tiny.decode(source, output, **options)
    with pytest.raises(InputError, match=r"/nothing: cannot be read: No such file or folder"):
        tiny.decode(f"{bucket}/nothing", tmp_path / "out.jsonl")


def test_another_job_in_a_folder_is_refused_unless_it_may_be_overwritten(source: Path, bucket: str) -> None:
    folder = f"{bucket}/out"
    tiny.decode(source, folder)
    with pytest.raises(InputError, match=r"out: belongs to another job \(settings.decoder.beam_size was 3, is now 1\)"):
        tiny.decode(source, folder, settings={"decoder": {"beam_size": 1}})
    tiny.write_input(source, 5)
    assert tiny.decode(source, folder, overwrite=True).lines == 5
    assert len(outputs(folder)) == 5
