"""The pool of workers, with a stand-in for Ray that runs calls in this process and loses workers as it is told."""

from __future__ import annotations

import itertools
import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import tiny_decoding as tiny
from command_line import error_of
from hypothesis import given
from hypothesis import strategies as st
from ray_stand_in import StandIn

from s2s.cluster import pool
from s2s.cluster.decoding import _Windows, decode_on_cluster
from s2s.cluster.pool import ClusterOptions, in_order, run_windows
from s2s.data.records import open_records
from s2s.errors import InputError
from s2s.generation.decode import DecodeOptions
from s2s.generation.generator import Generator
from s2s.generation.job_array import Shard, join_shards
from s2s.generation.pseudo_labels import label_file, labeling

SMALL = {"window": 7, "max_tokens": 40, "max_sentences": 3}


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[..., StandIn]:
    def install(*arguments: Any, **resources: float) -> StandIn:
        stand_in = StandIn(*arguments, **resources)
        monkeypatch.setattr(pool.packages, "load", lambda module, extra: stand_in)
        return stand_in

    return install


def double() -> Callable[[int], int]:
    return lambda number: 2 * number


def test_every_window_is_done_once_and_numbers_are_taken_as_they_are_needed(use: Callable[..., StandIn]) -> None:
    ray, taken = use(), []
    results = run_windows(double, (taken.append(n) or n for n in range(50)), ClusterOptions(workers=2))
    first = [next(results) for _ in range(3)]
    assert len(taken) <= 3 + 2 * 2
    found = [*first, *results]
    assert sorted(found) == [(number, 2 * number) for number in range(50)]
    assert ray.shut


@given(lost=st.sets(st.integers(1, 60)), workers=st.integers(1, 4))
def test_what_lost_workers_had_is_done_by_others(lost: set[int], workers: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        ray = StandIn(lost.__contains__)
        patch.setattr(pool.packages, "load", lambda module, extra: ray)
        patch.setattr(pool, "_ATTEMPTS", 1000)
        found = list(run_windows(double, range(20), ClusterOptions(workers=workers)))
    assert sorted(found) == [(number, 2 * number) for number in range(20)]
    assert ray.hired >= workers


def test_a_window_that_ends_every_worker_is_named(use: Callable[..., StandIn]) -> None:
    use(lambda call: True)
    with pytest.raises(
        InputError, match=r"10 workers ended with window 5, one after the other; the last: The actor died"
    ):
        list(run_windows(double, [5], ClusterOptions(workers=1)))


def test_workers_that_never_run_are_an_error_and_do_not_wait_for_ever(use: Callable[..., StandIn]) -> None:
    ray = use()
    ray.begins = False
    with pytest.raises(InputError, match=r"10 workers ended before they ran, one after the other; .* No module"):
        list(run_windows(double, range(3), ClusterOptions(workers=2)))
    assert ray.shut


def test_results_are_put_in_order_as_they_come() -> None:
    taken = list[int]()
    ordered = in_order(taken.append(n) or (n, 2 * n) for n in (1, 0, 3, 4, 2))
    assert next(ordered) == 0
    assert taken == [1, 0]
    assert [*ordered] == [2, 4, 6, 8]


def test_a_mistake_that_a_worker_finds_is_one_line(use: Callable[..., StandIn]) -> None:
    def refuse() -> Callable[[int], int]:
        raise InputError("in.jsonl: cannot be read")

    ray = use()
    with pytest.raises(InputError, match=r"^in\.jsonl: cannot be read$"):
        list(run_windows(refuse, range(3), ClusterOptions()))
    assert ray.shut


@pytest.mark.parametrize(
    ("resources", "options", "shape", "hired"),
    [
        ({"CPU": 6.0}, {}, {"num_cpus": 1.0, "num_gpus": 0}, 6),
        ({"CPU": 6.0}, {"cpus": 4}, {"num_cpus": 4.0, "num_gpus": 0}, 1),
        ({"CPU": 64.0, "GPU": 4.0}, {}, {"num_cpus": 1.0, "num_gpus": 1}, 4),
        ({"CPU": 64.0, "GPU": 4.0}, {"device": "cpu", "workers": 3}, {"num_cpus": 1.0, "num_gpus": 0}, 3),
    ],
)
def test_workers_follow_the_devices_of_the_cluster(
    use: Callable[..., StandIn], resources: dict[str, float], options: Any, shape: dict[str, float], hired: int
) -> None:
    ray = use(**resources)
    list(run_windows(double, range(9), ClusterOptions(**options)))
    assert {name: ray.shape[name] for name in shape} == shape
    assert ray.hired == hired


@pytest.mark.parametrize(
    ("address", "reason"),
    [("auto", "Could not find any running Ray instance"), ("127.0.0.1:1", ".*refused")],
)
def test_a_cluster_that_is_not_there_is_one_line(use: Callable[..., StandIn], address: str, reason: str) -> None:
    use()
    with pytest.raises(InputError, match=rf"^--ray {address}: no Ray cluster answers there: .*{reason}"):
        list(run_windows(double, range(3), ClusterOptions(address=address)))


def test_a_cluster_without_such_a_device_is_one_line(use: Callable[..., StandIn]) -> None:
    use()
    with pytest.raises(InputError, match="device: 'cuda' was asked for, but the cluster has no GPU; use cpu or auto"):
        list(run_windows(double, range(3), ClusterOptions(device="cuda")))


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r'ray is not installed; it comes with pip install "unilatent\[ray\]"'):
        list(run_windows(double, range(3), ClusterOptions()))


def load(device: str) -> Generator:
    return tiny.generator_of_words(tiny.beam(), {"decoder": {"beam_size": 3}})


def on_stand_in(source: Path, output: Path, **options: Any) -> Any:
    return decode_on_cluster(load, source, output, DecodeOptions(**{**SMALL, **options}), ClusterOptions(workers=2))


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "out.parquet"])
def test_a_cluster_writes_the_files_of_one_process(use: Callable[..., StandIn], tmp_path: Path, name: str) -> None:
    source, output, alone = tmp_path / "in.jsonl", tmp_path / name, tmp_path / f"alone{Path(name).suffix}"
    tiny.write_input(source, 40)
    use(lambda call: call in (2, 5))
    assert on_stand_in(source, output) == tiny.decode(source, alone)
    for end in ("", ".errors.jsonl", ".state.json"):
        assert Path(f"{output}{end}").read_bytes() == Path(f"{alone}{end}").read_bytes()
    assert len(list(tmp_path.iterdir())) == 7


def test_parquet_goes_in_and_out_as_files_and_as_folders_of_parts(use: Callable[..., StandIn], tmp_path: Path) -> None:
    tiny.write_input(tmp_path / "in.jsonl", 40)
    lines = map(json.loads, (tmp_path / "in.jsonl").read_text().splitlines())
    rows = [{"id": str(line.get("id")), "src": str(line.get("src"))} for line in lines]
    (tmp_path / "in").mkdir()
    for number in range(2):
        table = pyarrow.Table.from_pylist(rows[20 * number : 20 * number + 20])
        pyarrow.parquet.write_table(table, tmp_path / f"in/{number}.parquet")
    use(lambda call: call == 3)
    alone = tmp_path / "alone.parquet"
    tiny.decode(tmp_path / "in", alone)
    on_stand_in(tmp_path / "in", tmp_path / "out.parquet")
    assert (tmp_path / "out.parquet").read_bytes() == alone.read_bytes()
    parts = f"{tmp_path / 'parts.parquet'}/"
    on_stand_in(tmp_path / "in/0.parquet", parts)
    assert len([*Path(parts).glob("part-*.parquet")]) == math.ceil(20 / SMALL["window"])
    made, expected = ([record["tgt"] for _, record in open_records(path)] for path in (parts, alone))
    assert made == expected[:20]


def test_a_job_goes_on_from_one_process_to_a_cluster_and_back(
    use: Callable[..., StandIn], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, output, alone = tmp_path / "in.jsonl", tmp_path / "out.jsonl", tmp_path / "alone.jsonl"
    tiny.write_input(source, 40)
    tiny.decode(source, alone)
    ray = use(lambda call: call > 3)
    with pytest.raises(InputError, match="10 workers ended with window"):
        on_stand_in(source, output)
    assert 0 < len([*(tmp_path / "out.jsonl.parts").iterdir()]) + len(output.read_text().splitlines()) < 40
    tiny.decode(source, output)
    assert output.read_bytes() == alone.read_bytes()
    hired = ray.hired
    on_stand_in(source, output)
    assert ray.hired == hired, "a finished job starts no worker"


def test_shards_and_lists_on_one_line_run_on_a_cluster(use: Callable[..., StandIn], tmp_path: Path) -> None:
    use()
    source, output, alone = tmp_path / "in.json", tmp_path / "out.jsonl", tmp_path / "alone.jsonl"
    source.write_text("[" + ", ".join(f'{{"src": "w{number}"}}' for number in range(30)) + "]")
    for number in (1, 2, 3):
        on_stand_in(source, output, shard=Shard(number, 3))
    join_shards(output)
    on_stand_in(source, alone, window=1)
    assert output.read_bytes() == alone.read_bytes()
    assert len(output.read_text().splitlines()) == 30


def test_a_machine_that_sees_another_input_is_refused(use: Callable[..., StandIn], tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    tiny.write_input(source, 10)

    def load_late(device: str) -> Generator:
        if device != "cpu":
            with source.open("a") as file:
                file.write('{"src": "w1"}\n')
        return load(device)

    use()
    small = DecodeOptions(**SMALL)
    with pytest.raises(InputError, match=r"in\.jsonl: differs between machines of the cluster; all must see the same"):
        decode_on_cluster(load_late, source, tmp_path / "out.jsonl", small, ClusterOptions())


@given(numbers=st.lists(st.integers(0, 8), max_size=12))
def test_windows_in_any_order_are_those_of_the_input(numbers: list[int]) -> None:
    records = open_records("sample:en", "valid")
    every = list(itertools.islice(records.rows(), 40))
    windows = _Windows(open_records("sample:en", "valid"), 4)
    for number in numbers:
        assert [row.number for row in windows.rows(number)] == [
            row.number for row in every[4 * number : 4 * number + 4]
        ]


def test_options_that_do_not_go_together_are_one_line(tmp_path: Path) -> None:
    files = ["--input", os.devnull, "--output", str(tmp_path / "out.jsonl")]
    assert "--workers: are those of a Ray cluster" in error_of("decode", "run", *files, "--workers", "2")
    assert "--ray: writes no traces" in error_of("decode", "run", *files, "--ray", "local", "--trace", "t.jsonl")


def test_pseudo_labels_of_a_cluster_are_those_of_one_process(use: Callable[..., StandIn], tmp_path: Path) -> None:
    weights, source = tmp_path / "model.safetensors", tmp_path / "in.jsonl"
    weights.write_bytes(b"weights")
    tiny.write_input(source, 30)

    def load_teacher(device: str) -> Generator:
        return tiny.generator_of_words(tiny.beam(), {"model": weights})

    use(lambda call: call == 2)
    small = DecodeOptions(**SMALL)
    on, alone = tmp_path / "on.jsonl", tmp_path / "alone.jsonl"
    made = decode_on_cluster(load_teacher, source, on, small, ClusterOptions(), labeling)
    assert made == label_file(load_teacher("cpu"), source, alone, small, tiny.alone())
    assert on.read_bytes() == alone.read_bytes()
