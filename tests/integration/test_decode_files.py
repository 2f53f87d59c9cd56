"""Decoding files: order, ids, bad lines, kills, other jobs' outputs, pipes, ranks, traces."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import tiny_decoding as tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s.data.records import open_records
from s2s.decoding.base import Hypothesis
from s2s.decoding.ranking import gnmt
from s2s.durable import claimed
from s2s.errors import ConfigError, InputError
from s2s.generation import output as output_module
from s2s.generation.decode import _reporting
from s2s.generation.output import parts_folder
from s2s.generation.rerank import rerank_file
from s2s.ranks import Ranks

PROGRAM = [sys.executable, tiny.__file__]


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    tiny.write_input(path, 40)
    return path


def test_outputs_keep_the_order_and_the_ids_of_the_input(source: Path, tmp_path: Path) -> None:
    summary = tiny.decode(source, tmp_path / "out.jsonl")
    made = records(tmp_path / "out.jsonl")
    assert [item["id"] for item in made] == [item["id"] for item in records(source)]
    assert (summary.lines, summary.failed) == (40, 4)
    assert summary.cut > 0
    assert not parts_folder(tmp_path / "out.jsonl").exists()


def test_outputs_are_those_of_sentences_decoded_alone(source: Path, tmp_path: Path) -> None:
    tiny.decode(source, tmp_path / "out.jsonl")
    tiny.decode(source, tmp_path / "alone.jsonl", max_sentences=1)
    pairs = list(zip(records(tmp_path / "out.jsonl"), records(tmp_path / "alone.jsonl"), strict=True))
    assert [item["tgt"] for item, _ in pairs] == [alone["tgt"] for _, alone in pairs]
    scores = [item.get("score", 0) for item, _ in pairs]
    assert scores == pytest.approx([alone.get("score", 0) for _, alone in pairs], abs=2e-4)
    assert len({len(item["tgt"]) for item in records(tmp_path / "out.jsonl") if item["tgt"]}) > 2


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=2, max_size=7),
    beam_size=st.integers(1, 4),
    ngram=st.sampled_from([0, 2]),
    seed=st.integers(0, 5),
)
def test_a_sentence_in_any_batch_of_a_real_model_gets_the_tokens_it_gets_alone(
    lengths: list[int], beam_size: int, ngram: int, seed: int
) -> None:
    task, model = tiny.WordTask(None), tiny.model_of_words(seed)
    decoder = tiny.beam(beam_size=beam_size, no_repeat_ngram_size=ngram, length_penalty=0.6, min_length=2)
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.randint(4, 64, (length,), generator=generator).tolist() for length in lengths]
    examples = [tiny.Words(str(i), [1, *row, 2], [], 0) for i, row in enumerate(rows)]
    together = decoder(model, task.collate_sources(examples))
    for example, (best,) in zip(examples, together, strict=True):
        ((alone,),) = decoder(model, task.collate_sources([example]))
        assert best.tokens == alone.tokens
        assert best.score == pytest.approx(alone.score, abs=1e-4)


BAD_LINES = [
    (b'{"id": "a", "src": ', "broken JSON: Expecting value at column 19", 2),
    (b'{"id": "a"}', "'src' is missing; found 'id'", "a"),
    (b'{"id": "a", "src": 5}', r"'src' must be a string or a list of tokens, found a number \(5\)", "a"),
    (b'{"id": "a", "src": " "}', "'src' is empty", "a"),
    (b'{"src": "\xff"}', "invalid UTF-8 at byte 10; expected UTF-8 text", 2),
    (b'["a"]', r"expected a JSON object, found a list \(\[\"a\"\]\)", 2),
]


@pytest.mark.parametrize(("line", "message", "id"), BAD_LINES)
def test_a_bad_line_is_noted_and_the_rest_goes_on(tmp_path: Path, line: bytes, message: str, id: Any) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(b'{"src": "w1"}\n' + line + b'\n{"src": ["w3", "w4"]}\n')
    assert tiny.decode(source, output).failed == 1
    first, bad, last = records(output)
    assert [first["id"], bad["id"], last["id"]] == [1, id, 3]
    assert bad["tgt"] is None
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(bad["error"])
    assert records(tmp_path / "out.jsonl.errors.jsonl") == [{"line": 2, "id": id, "error": bad["error"]}]


def test_a_file_system_without_locks_is_no_obstacle(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_locks(file: Any, operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    assert tiny.decode(source, tmp_path / "out.jsonl").lines == 40
    assert "out.jsonl: cannot be locked (No locks available); make sure no other job writes it" in caplog.text


def test_ids_come_from_the_field_that_the_task_names_else_from_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    lines = [{"key": 70, "id": "no", "src": "w1"}, {"key": "b", "src": ""}, {"id": "no", "src": "w2"}, {"src": None}]
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))

    class KeyTask(tiny.WordTask):
        id_field = "key"  # type: ignore[assignment]

    monkeypatch.setattr(tiny, "WordTask", KeyTask)
    tiny.decode(source, output)
    assert [item["id"] for item in records(output)] == [70, "b", 3, 4]
    assert [item["id"] for item in records(tmp_path / "out.jsonl.errors.jsonl")] == ["b", 4]


@pytest.mark.parametrize(("line", "message", "id"), BAD_LINES)
def test_strict_stops_at_a_bad_line_and_says_where(tmp_path: Path, line: bytes, message: str, id: Any) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(b'{"src": "w1"}\n' + line + b"\n")
    with pytest.raises(InputError, match=rf"in\.jsonl:2: {message}"):
        tiny.decode(source, tmp_path / "out.jsonl", strict=True)


def test_killed_ten_times_at_random_it_ends_with_the_bytes_of_an_uninterrupted_run(tmp_path: Path) -> None:
    source, straight, killed = tmp_path / "in.jsonl", tmp_path / "straight.jsonl", tmp_path / "killed.jsonl"
    tiny.write_input(source, 500)
    ran = subprocess.run([*PROGRAM, source, killed, "10", "1"], capture_output=True, text=True, check=True, timeout=120)
    assert int(ran.stdout) == 10, "the job was done before it could be killed"
    tiny.decode(source, straight)
    for end in ("", ".errors.jsonl", ".state.json"):
        assert (tmp_path / f"killed.jsonl{end}").read_bytes() == (tmp_path / f"straight.jsonl{end}").read_bytes()
    assert len(list(tmp_path.iterdir())) == 7, "nothing else is left behind"


def test_batches_for_which_memory_is_short_are_halved_with_one_warning(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tiny.decode(source, tmp_path / "out.jsonl")
    search, sizes = tiny.BeamSearch.__call__, []
    expected = records(tmp_path / "out.jsonl")
    place = next(place for place, item in enumerate(expected) if place > 9 and item["tgt"])

    def short_of_memory(self: Any, model: Any, sources: Any) -> Any:
        sizes.append(len(sources.tokens))
        if len(sources.tokens) > 2 or str(expected[place]["id"]) in sources.ids:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory")
        return search(self, model, sources)

    monkeypatch.setattr(tiny.BeamSearch, "__call__", short_of_memory)
    tiny.decode(source, tmp_path / "short.jsonl", max_sentences=8, max_tokens=1000)
    made = records(tmp_path / "short.jsonl")
    assert sizes[:3] == [7, 3, 1]
    assert made.pop(place)["error"].startswith("out of memory with this text alone")
    assert [item["tgt"] for item in made] == [item["tgt"] for number, item in enumerate(expected) if number != place]
    assert sum("out of memory" in line for line in caplog.messages) == 1


def test_two_jobs_cannot_write_one_output(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "out.jsonl"
    refused = pytest.raises(
        InputError, match=r"out\.jsonl: another process is writing it; wait for it, or choose another"
    )
    with claimed(output):
        with refused:
            tiny.decode(source, output)
        with refused:
            tiny.decode(source, output, overwrite=True)
        monkeypatch.setattr(sys, "stdin", Standard(source.read_bytes()))
        with refused:
            tiny.decode("-", output)
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
    assert tiny.decode(source, output).lines == 40


def on_two_ranks(source: Path, output: Path) -> list[tuple[int, list[str]]]:
    """Exit status and last line on standard error of each."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command: list[Any] = [*PROGRAM, source, output, "0", "0"]
    started = [
        subprocess.Popen(command, env=shared | {"RANK": str(rank)}, stderr=subprocess.PIPE, text=True)
        for rank in (0, 1)
    ]
    errors = [process.communicate(timeout=60)[1] for process in started]
    return [(process.returncode, error.splitlines()[-1:]) for process, error in zip(started, errors, strict=True)]


def test_what_one_rank_finds_wrong_ends_the_others_too(source: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken.jsonl"
    taken.write_text("mine")
    for status, last_line in on_two_ranks(source, taken):
        assert status == 1
        assert "InputError" in last_line[0]
        assert "taken.jsonl: exists already, and is not of this job" in last_line[0]


def test_two_ranks_write_what_one_writes(source: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    assert [status for status, _ in on_two_ranks(source, two)] == [0, 0]
    tiny.decode(source, one)
    assert records(two) == records(one)
    assert two.with_name("two.jsonl.errors.jsonl").read_bytes() == one.with_name("one.jsonl.errors.jsonl").read_bytes()


def test_a_finished_job_is_left_as_it_is_and_says_so(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    output = tmp_path / "out.jsonl"
    before = tiny.decode(source, output), output.read_bytes()
    assert "already finished" not in caplog.text
    monkeypatch.setattr(tiny.BeamSearch, "__call__", None)
    assert (tiny.decode(source, output), output.read_bytes()) == before
    assert "out.jsonl: already finished, 40 lines; nothing to do" in caplog.text


def test_a_moved_input_is_still_the_same_input(source: Path, tmp_path: Path) -> None:
    tiny.decode(source, tmp_path / "out.jsonl")
    tiny.decode(source.rename(tmp_path / "moved.jsonl"), tmp_path / "out.jsonl")


def test_an_output_of_another_job_is_refused_unless_it_may_be_overwritten(source: Path, tmp_path: Path) -> None:
    output, other = tmp_path / "out.jsonl", tmp_path / "other.jsonl"
    tiny.write_input(other, 3)
    tiny.decode(source, output)
    sizes = f"was a file of {source.stat().st_size} bytes, .*, is now a file of {other.stat().st_size} bytes, .*"
    with pytest.raises(InputError, match=rf"out\.jsonl: belongs to another job \(input {sizes}\); give --overwrite"):
        tiny.decode(other, output)
    with pytest.raises(InputError, match=r"another job \(settings\.decoder\.beam_size was 3, is now 4\)"):
        tiny.decode(source, output, settings={"decoder": {"beam_size": 4}})
    assert tiny.decode(other, output, overwrite=True).lines == 3
    assert len(records(output)) == 3


def test_a_file_that_decoding_did_not_write_is_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.txt: exists already, and is not of this job; give --overwrite"):
        tiny.decode(source, tmp_path / "notes.txt")
    with pytest.raises(InputError, match=r"in\.jsonl: is also an input; choose another output"):
        tiny.decode(source, source, overwrite=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("names", [("out.jsonl", "in.jsonl"), ("in", "trace.jsonl"), ("out.jsonl", "out.jsonl")])
def test_no_file_of_a_job_may_be_its_input_or_another_of_its_files(
    names: tuple[str, str], source: Path, tmp_path: Path
) -> None:
    before = source.read_bytes()
    errors = tmp_path / "in.errors.jsonl"
    errors.write_bytes(before)
    output, trace = (tmp_path / name for name in names)
    with pytest.raises(InputError, match=r"is also an input|cannot share a file"):
        tiny.decode(errors if output.name == "in" else source, output, trace=trace, overwrite=True)
    assert source.read_bytes() == errors.read_bytes() == before


def test_a_mistake_that_another_rank_finds_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InputError, match="line 3"), _reporting(Ranks(1, 2, torch.device("cpu"))):
        raise InputError("line 3")
    assert "error: line 3" in caplog.text


def test_an_output_that_lost_lines_is_refused(source: Path, tmp_path: Path) -> None:
    tiny.decode(source, tmp_path / "out.jsonl")
    (tmp_path / "out.jsonl").write_text("")
    with pytest.raises(InputError, match=r"out\.jsonl: has 0 bytes, \d+ were written; it was changed since"):
        tiny.decode(source, tmp_path / "out.jsonl")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"in\.jsonl: cannot be read: No such file or directory"),
        (b"", r"in\.jsonl: the file is empty; expected one JSON object a line"),
        (b"\n\n", r"in\.jsonl: the file is empty"),
    ],
)
def test_a_missing_or_empty_input_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    source = tmp_path / "in.jsonl"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(InputError, match=message):
        tiny.decode(source, tmp_path / "out.jsonl")


def test_a_full_disk_is_one_line(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"out\.jsonl\.state\.json: cannot be written: No space left on device"):
        tiny.decode(source, tmp_path / "out.jsonl")


class Standard:
    """Standard input or output with a byte buffer."""

    def __init__(self, content: bytes = b"") -> None:
        self.buffer = io.BytesIO(content)


def test_standard_input_goes_to_standard_output(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.decode(source, tmp_path / "out.jsonl")
    written = Standard()
    monkeypatch.setattr(sys, "stdin", Standard(source.read_bytes()))
    monkeypatch.setattr(sys, "stdout", written)
    tiny.decode("-", "-")
    assert written.buffer.getvalue() == (tmp_path / "out.jsonl").read_bytes()


def test_every_hypothesis_is_written_when_more_than_one_is_wanted(source: Path, tmp_path: Path) -> None:
    tiny.decode(source, tmp_path / "out.jsonl", tiny.beam(num_hypotheses=2))
    item = records(tmp_path / "out.jsonl")[0]
    assert len(item["nbest"]) == 2
    assert item["nbest"][0] == {"tgt": item["tgt"], "score": item["score"]}


def test_traces_give_the_outputs_of_another_length_penalty(source: Path, tmp_path: Path) -> None:
    tiny.decode(source, tmp_path / "plain.jsonl", trace=tmp_path / "trace.jsonl")
    tiny.decode(source, tmp_path / "wanted.jsonl", tiny.beam(length_penalty=2.0))
    written = rerank_file(
        tiny.WordTask(None), tmp_path / "trace.jsonl", tmp_path / "again.jsonl", gnmt(2.0), 1, overwrite=False
    )
    assert written == 40
    assert records(tmp_path / "again.jsonl") == records(tmp_path / "wanted.jsonl") != records(tmp_path / "plain.jsonl")


def test_traces_are_not_overwritten_by_what_is_chosen_from_them(source: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    tiny.decode(source, tmp_path / "plain.jsonl", trace=trace)
    before = trace.read_bytes()
    with pytest.raises(InputError, match=r"trace\.jsonl: is also an input; choose another output"):
        rerank_file(tiny.WordTask(None), trace, trace, gnmt(2.0), 1, overwrite=True)
    assert trace.read_bytes() == before


def test_traces_are_refused_of_a_decoder_that_leaves_none(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"decoder\.name: only beam searches write traces"):
        tiny.decode(source, tmp_path / "out.jsonl", decoder=object(), trace=tmp_path / "trace.jsonl")  # type: ignore[arg-type]


@pytest.mark.parametrize("ending", ["", ".errors.jsonl"])
def test_an_output_edited_in_place_is_not_called_finished(source: Path, tmp_path: Path, ending: str) -> None:
    tiny.decode(source, tmp_path / "out.jsonl")
    edited = tmp_path / f"out.jsonl{ending}"
    content = bytearray(edited.read_bytes())
    content[len(content) // 2] ^= 1
    edited.write_bytes(content)
    with pytest.raises(InputError, match=rf"{edited.name}: was changed since it was written; give --overwrite"):
        tiny.decode(source, tmp_path / "out.jsonl")
    assert tiny.decode(source, tmp_path / "out.jsonl", overwrite=True).lines == 40


def test_a_changed_byte_in_the_middle_of_the_input_is_another_input(source: Path, tmp_path: Path) -> None:
    padding = '{"id": "p", "src": ""}' + " " * 1_500_000 + "\n"
    source.write_text(padding + source.read_text() + padding)
    tiny.decode(source, tmp_path / "out.jsonl")
    source.write_text(source.read_text().replace('"line-20"', '"LINE-20"'))
    with pytest.raises(InputError, match=r"out\.jsonl: belongs to another job \(input was a file of"):
        tiny.decode(source, tmp_path / "out.jsonl")


class Fragile(tiny.BeamSearch):
    """Fails with an error that nobody expects at a sentence that holds a certain word."""

    def __call__(self, model: Any, sources: Any) -> Any:
        if (sources.tokens == tiny.WORDS.index("w5")).any():
            raise ZeroDivisionError("in the search")
        return super().__call__(model, sources)


def test_an_unexpected_error_costs_one_line_and_not_its_batch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps({"id": i, "src": f"w{i}"}) + "\n" for i in range(9)) + '{"src": "unknown"}\n')
    search = Fragile(Fragile.Config(beam_size=2, max_length=4), tiny.WORDS.index)
    assert tiny.decode(source, output, search).failed == 2
    made = records(output)
    assert [item["id"] for item in made if item["tgt"] is None] == [5, 10]
    assert made[5]["error"] == "unexpected ZeroDivisionError: in the search"
    assert made[9]["error"] == "unexpected ValueError: 'unknown' is not in list"
    assert [item["line"] for item in records(tmp_path / "out.jsonl.errors.jsonl")] == [6, 10]
    assert f"{source}:6: unexpected ZeroDivisionError: in the search" in caplog.messages
    with pytest.raises(ZeroDivisionError):
        tiny.decode(source, tmp_path / "strict.jsonl", search, strict=True)


def test_scores_that_are_no_numbers_are_an_error_of_their_line(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"src": "w1"}\n')

    class Broken(tiny.BeamSearch):
        def __call__(self, model: Any, sources: Any) -> Any:
            return [[Hypothesis([5], 0.0, float("nan"), True)]]

    summary = tiny.decode(tmp_path / "in.jsonl", tmp_path / "out.jsonl", Broken(Broken.Config(), tiny.WORDS.index))
    assert summary.failed == 1
    assert "hold NaN or infinity" in records(tmp_path / "out.jsonl")[0]["error"]


@pytest.mark.parametrize(
    ("ids", "warning"),
    [
        (
            ["a", "b", "a", "b", "c"],
            "lines 1 and 3 have the same 'id', and 1 more repeat an id; their outputs can",
        ),
        ([7, "7"], "lines 1 and 2 have the same 'id'; their outputs"),
        (["a", None, None, "b"], None),
    ],
)
def test_ids_that_occur_twice_are_reported_with_their_lines(
    tmp_path: Path, ids: list[Any], warning: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps({"id": id, "src": "w1"}) + "\n" for id in ids))
    tiny.decode(source, tmp_path / "out.jsonl", window=2)
    assert (f"{source}: {warning}" in caplog.text) if warning else ("the same" not in caplog.text)


def test_a_job_of_which_every_line_failed_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "plain.jsonl"
    source.write_text("Some text.\nMore text.\n")
    summary = tiny.decode(source, tmp_path / "out.jsonl")
    with pytest.raises(InputError, match=r"plain\.jsonl: none of its 2 lines could be used; expected one JSON"):
        summary.refuse_failure(source)
    source.write_text('{"text": "w1"}\n')
    summary = tiny.decode(source, tmp_path / "out.jsonl", overwrite=True)
    with pytest.raises(InputError, match=r"none of its 1 lines could be used; the last: 'src' is missing"):
        summary.refuse_failure(source)
    source.write_text('Some text.\n{"src": "w1"}\n')
    tiny.decode(source, tmp_path / "out.jsonl", overwrite=True).refuse_failure(source)


@pytest.mark.parametrize("name", [".", "", "folder", "x" * 250, "y" * 300])
def test_a_place_that_takes_no_file_is_refused_before_anything_is_decoded(
    source: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.iterdir())
    for outputs in ({"output": name}, {"output": "out.jsonl", "trace": name})[: 1 + (len(name) != 250)]:
        with pytest.raises(InputError, match=r"is a folder|File name too long"):
            tiny.decode(source, overwrite=True, **outputs)
        assert sorted(tmp_path.iterdir()) == before


def rewrite(source: Path, target: Path) -> Path:
    """The records of a JSON-lines file in the format of another name; numbers stay numbers where the format has any."""
    rows = records(source)
    if target.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), target)
    elif target.name.endswith(".jsonl.zst"):
        target.write_bytes(pyarrow.Codec("zstd").compress(source.read_bytes(), asbytes=True))
    elif target.suffix == ".txt":
        target.write_text("".join(f"{row['src']}\n" for row in rows))
    else:
        with target.open("w", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
    return target


@pytest.mark.parametrize("name", ["in.csv", "in.parquet", "in.jsonl.zst", "in.txt"])
def test_every_format_of_the_input_gives_the_same_outputs(source: Path, tmp_path: Path, name: str) -> None:
    tiny.decode(source, tmp_path / "plain.jsonl")
    summary = tiny.decode(rewrite(source, tmp_path / name), tmp_path / "other.jsonl")
    assert (summary.lines, summary.failed) == (40, 4)
    wanted, made = records(tmp_path / "plain.jsonl"), records(tmp_path / "other.jsonl")
    for number, item in enumerate(wanted, start=1):
        item["id"] = number if name.endswith(".txt") else item["id"]
    assert made == wanted
    (failed, *_) = records(tmp_path / "other.jsonl.errors.jsonl")
    assert failed["row" if name in ("in.csv", "in.parquet") else "line"] == 10


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl.gz", "out.tsv.xz", "out.txt.bz2", "out.parquet"])
def test_killed_in_any_form_it_ends_with_the_bytes_of_an_uninterrupted_run(
    source: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, killed = tmp_path / name, tmp_path / f"killed-{name}"
    tiny.decode(source, straight)
    batches = tiny.BeamSearch.__call__
    for allowed in (3, 9):
        left = iter(range(allowed))

        def fail(self: Any, *given: Any, left: Any = left) -> Any:
            if next(left, None) is None:
                raise KeyboardInterrupt
            return batches(self, *given)

        monkeypatch.setattr(tiny.BeamSearch, "__call__", fail)
        with pytest.raises(KeyboardInterrupt):
            tiny.decode(source, killed)
        if name != "out.parquet" and killed.stat().st_size:
            assert list(open_records(killed, "test").rows()), "what is there can be read"
    monkeypatch.setattr(tiny.BeamSearch, "__call__", batches)
    before = tiny.decode(source, killed)
    assert killed.read_bytes() == straight.read_bytes()
    monkeypatch.setattr(tiny.BeamSearch, "__call__", None)
    assert tiny.decode(source, killed) == before, "it is finished"
    assert len(list(tmp_path.iterdir())) == 7, "input; output, errors and state of two jobs; nothing else"


def test_a_parquet_file_that_a_kill_left_without_its_state_is_made_again(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.parquet"
    tiny.decode(source, tmp_path / "straight.parquet")
    monkeypatch.setattr(output_module, "hashed", None)  # fails between the file and the state
    with pytest.raises(TypeError):
        tiny.decode(source, output)
    monkeypatch.undo()
    tiny.decode(source, output)
    assert output.read_bytes() == (tmp_path / "straight.parquet").read_bytes()
    assert not output.with_name("out.parquet.rows.jsonl").exists()


def test_text_piped_in_gives_text_out(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Standard()
    monkeypatch.setattr(sys, "stdin", Standard(b"w1 w2\n\nw3\n"))
    monkeypatch.setattr(sys, "stdout", written)
    tiny.decode("-", "-")
    first, blank, last, end = written.buffer.getvalue().decode().split("\n")
    assert (blank, end) == ("", "")
    assert first.startswith("w")
    assert last.startswith("w")
    monkeypatch.setattr(sys, "stdin", Standard(b"id,src\n7,w1 w2\n"))
    monkeypatch.setattr(sys, "stdout", csv_out := Standard())
    tiny.decode("-", "-", format="csv")
    assert json.loads(csv_out.buffer.getvalue())["tgt"] == first
    assert json.loads(csv_out.buffer.getvalue())["id"] == "7"


def test_a_pipe_into_a_parquet_file_leaves_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Standard(b"w1 w2\nw3\n"))
    tiny.decode("-", tmp_path / "out.parquet", tiny.beam(num_hypotheses=2))
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]
    (first, _) = [record for _, record in open_records(tmp_path / "out.parquet")]
    assert first["nbest"][0] == {"tgt": first["tgt"], "score": first["score"]}


def test_traces_are_json_lines_and_may_be_compressed(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"trace\.csv: traces are JSON lines; give --trace a name in \.jsonl"):
        tiny.decode(source, tmp_path / "out.jsonl", trace=tmp_path / "trace.csv")
    tiny.decode(source, tmp_path / "out.csv", trace=tmp_path / "trace.jsonl.gz")
    again = tmp_path / "again.csv"
    rerank_file(tiny.WordTask(None), tmp_path / "trace.jsonl.gz", again, gnmt(0.0), 1, overwrite=False)
    assert again.read_bytes() == (tmp_path / "out.csv").read_bytes()
