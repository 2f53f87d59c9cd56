"""Claims, whole files, journals, fingerprints: what a kill, a link, a full disk or a changed file may not break."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2s import durable
from s2s.durable import (
    Journal,
    append,
    check_target,
    claimed,
    fingerprint,
    flatten,
    former_fingerprint,
    read_journal,
    refuse_inputs,
    refuse_other_job,
    resumable,
    whole_file,
    with_fingerprints,
    write_whole,
)
from s2s.errors import InputError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
RECORDS = st.lists(st.dictionaries(st.text(max_size=3), JSON, max_size=3), max_size=5)
shared_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)


@shared_folder
@given(RECORDS, RECORDS, st.data())
def test_a_journal_has_the_whole_lines_that_were_written_before_a_kill(
    tmp_path: Path, before: list[Any], after: list[Any], data: st.DataObject
) -> None:
    path = tmp_path / "journal"
    path.unlink(missing_ok=True)
    journal = Journal(path)
    for record in before:
        journal.add(record)
    content = path.read_bytes()
    length = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:length])
    kept = before[: content[:length].count(b"\n")]
    assert list(read_journal(path)) == kept, "another process reads what is whole, and changes nothing"
    assert path.read_bytes() == content[:length]
    again = Journal(path)
    for record in after:
        again.add(record)
    assert list(again) == kept + after


@pytest.mark.parametrize("line", [b"[1]", b"{", b"\xff", b"[" * 5000, b"NaN"])
def test_a_damaged_line_of_a_journal_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b'{"a": 1}\n' + line + b"\n")
    with pytest.raises(InputError, match=r"journal:2: "):
        list(Journal(path))
    assert list(read_journal(tmp_path / "none")) == []


def hold(*arguments: Path) -> None:
    with claimed(*arguments):
        pass


@pytest.mark.parametrize("write", [write_whole, append])
def test_what_the_disk_does_not_take_is_one_line(tmp_path: Path, write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "a").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"a: cannot be written: No space left on device"):
        write(tmp_path / "a", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes().startswith(b"old")


def test_a_file_appears_when_it_is_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a"

    def write_half() -> None:
        with whole_file(path) as file:
            file.write(b"half")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        write_half()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a.unfinished").write_bytes(b"of a process that was killed")
    with whole_file(path) as file:
        file.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_links_that_others_put_in_a_shared_folder_are_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    for name in ("a.lock", "a.unfinished", "b"):
        (tmp_path / name).symlink_to(victim)
    with pytest.raises(InputError, match=r"a: cannot be written: is a symbolic link"):
        hold(tmp_path / "a")
    with pytest.raises(InputError, match=r"b: cannot be written: is a symbolic link"):
        append(tmp_path / "b", b"more")
    write_whole(tmp_path / "a", b"new")
    assert victim.read_bytes() == b"precious"
    assert (tmp_path / "a").read_bytes() == b"new"


def test_a_lock_file_with_content_keeps_it(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"precious")
    os.link(other, tmp_path / "a.lock")
    hold(tmp_path / "a")
    assert other.read_bytes() == b"precious"
    assert not (tmp_path / "a.lock").exists()


@pytest.mark.parametrize("kind", ["folder", "pipe", "socket", ".", "", "..", "x" * 300])
@pytest.mark.parametrize("act", [hold, check_target, partial(write_whole, content=b"new")])
def test_only_a_regular_file_can_be_replaced(tmp_path: Path, kind: str, act: Callable[[Path], None]) -> None:
    path = tmp_path / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        os.mknod(path, 0o600 | stat.S_IFSOCK)
    elif kind in (".", ""):
        path = Path(kind)
    before = os.stat(path) if path.name != "x" * 300 else None
    with pytest.raises(InputError, match=r"is a folder|is a device or a pipe|File name too long"):
        act(path)
    assert before is None or os.path.samestat(before, os.stat(path))
    assert set(os.listdir(tmp_path)) <= {"folder", "pipe", "socket"}


def test_a_pipe_in_place_of_a_lock_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.lock")
    with pytest.raises(InputError, match="cannot be written"):
        hold(tmp_path / "a")


def test_a_claim_ends_with_its_process_however_it_ends(tmp_path: Path) -> None:
    script = "import sys, pathlib\nfrom s2s.durable import claimed\n"
    script += "with claimed(pathlib.Path(sys.argv[1])):\n    print('claimed', flush=True)\n    sys.stdin.read()\n"
    command = [sys.executable, "-c", script, str(tmp_path / "a")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "claimed\n"
        with pytest.raises(InputError, match="another process is writing it"):
            hold(tmp_path / "a")
        process.kill()
        process.wait()
        assert (tmp_path / "a.lock").exists()
        hold(tmp_path / "a")
    assert not (tmp_path / "a.lock").exists()


@pytest.mark.parametrize("windows", [False, True])
def test_a_claim_holds_until_it_ends(tmp_path: Path, windows: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "_WINDOWS", windows)
    output, lock = tmp_path / "out", tmp_path / "deep" / "folder" / ".lock"
    for arguments in ((output,), (output, lock)):
        with claimed(*arguments), pytest.raises(InputError, match=r"out: another process is writing it"):
            hold(*arguments)
        hold(*arguments)
    assert not list(tmp_path.rglob("*")), "folders that stay empty are removed"
    with claimed(output, lock):
        (lock.parent / "made").touch()
    assert (lock.parent / "made").exists()


@shared_folder
@given(st.integers(0, 3_000_000), st.data())
def test_every_byte_counts_in_a_fingerprint(tmp_path: Path, size: int, data: st.DataObject) -> None:
    path, copy = tmp_path / "a", tmp_path / "b"
    content = bytearray(size)
    path.write_bytes(content)
    copy.write_bytes(content)
    found = fingerprint(path)
    assert found == fingerprint(copy) == fingerprint(path, found)
    if size:
        content[data.draw(st.integers(0, size - 1))] = 1
        path.write_bytes(content)
        assert fingerprint(path, found) == fingerprint(path) != found
    path.write_bytes(content + b"x")
    assert fingerprint(path, found)["bytes"] == size + 1


def test_a_large_file_that_is_as_it_was_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"x" * 5000)
    monkeypatch.setattr(durable, "_LARGE", 1000)
    assert "seen" not in fingerprint(path), "a file that has just changed may change again within a tick of its clock"
    monkeypatch.setattr(durable, "_FRESH", -(10**12))
    found = fingerprint(path)
    monkeypatch.setattr(durable.hashlib, "sha256", None)
    assert fingerprint(path, found) == found
    monkeypatch.undo()
    times = os.stat(path)
    path.write_bytes(b"x" * 4999 + b"y")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    changed = fingerprint(path, found)
    assert changed["sha256"] != found["sha256"]
    assert os.stat(path).st_mtime_ns == times.st_mtime_ns, "the time of the last change can be forged"


@pytest.mark.parametrize("size", [0, 1, 1000, 3 << 20])
def test_fingerprints_of_former_versions_are_recognized(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a"
    path.write_bytes(os.urandom(size))
    former = former_fingerprint(path)
    assert fingerprint(path, former) == former
    assert fingerprint(path, {**former, "sha256": "0" * 64}) == fingerprint(path)
    for odd in (None, "text", {}, {"bytes": "many"}, {"bytes": size}, {"seen": None}):
        assert fingerprint(path, odd) == fingerprint(path)


def test_a_job_is_another_when_a_setting_or_a_byte_of_a_file_differs(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"one")

    def job(beam: int) -> Any:
        return with_fingerprints({"settings": {"beam": beam, "model": path}})

    before = json.loads(json.dumps(job(3)))
    refuse_other_job(tmp_path / "out", before, job(3))
    with pytest.raises(
        InputError, match=r"out: belongs to another job \(settings\.beam was 3, is now 4\); give --over"
    ):
        refuse_other_job(tmp_path / "out", before, job(4))
    path.write_bytes(b"two")
    with pytest.raises(InputError, match=r"\(settings\.model was a file of 3 bytes, SHA-256 \w+\.\.\., is now a file"):
        refuse_other_job(tmp_path / "out", before, job(3))
    refuse_other_job(tmp_path / "out", before, job(3), former=before)
    with pytest.raises(InputError, match=r"extra was null, is now \"x"):
        refuse_other_job(tmp_path / "out", {}, {"extra": "x" * 5000}, way_out="choose another folder")


@given(st.recursive(st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, min_size=1)))
def test_flattened_trees_keep_every_value_at_its_path(tree: Any) -> None:
    for path, value in flatten({"top": tree}).items():
        found = {"top": tree}
        for key in path.split("."):
            found = found[key]
        assert found == value


@pytest.mark.parametrize(
    ("number", "word", "status"), [(signal.SIGINT, "interrupted", 130), (signal.SIGTERM, "terminated", 143)]
)
def test_a_signal_ends_a_job_with_a_line_and_its_status(
    number: int, word: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:

    def job() -> None:
        with resumable():
            os.kill(os.getpid(), number)
            signal.sigtimedwait([], 5)

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background starts tests without it
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ending:
        job()
    assert ending.value.code == status
    assert caplog.messages == [f"{word}; the same command continues it"]
    assert signal.getsignal(signal.SIGTERM) == before


def test_an_output_may_not_replace_an_input_by_any_of_its_names(tmp_path: Path) -> None:
    source, link, other = (tmp_path / name for name in ("in.jsonl", "link.jsonl", "out.jsonl"))
    source.write_text("mine")
    link.symlink_to(source)
    for output in (source, link, tmp_path / "." / "in.jsonl"):
        with pytest.raises(InputError, match=r"is also an input; choose another output"):
            refuse_inputs(output, [None, "Anna", source])
    for output in (None, "-", other):
        refuse_inputs(output, [source, "-"])
