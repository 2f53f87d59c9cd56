"""Pseudo-labels: a corpus comes back whole, with what the teacher writes, and continues or refuses as decoding does."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from tiny_decoding import WORDS, alone, beam, decode, generator_of_words, write_input

from s2s.durable import fingerprint
from s2s.errors import InputError
from s2s.generation.decode import DecodeOptions, Summary
from s2s.generation.pseudo_labels import label_file


@pytest.fixture
def label(tmp_path: Path) -> Callable[..., Summary]:
    """Label with a teacher of random weights, in small windows and batches."""
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"weights")

    def run(source: Path, output: Path, search: Any = None, **options: Any) -> Summary:
        settings = {"model": weights, "decoder": {"attention_temperature": options.pop("temperature", None)}}
        small = DecodeOptions(**{"window": 7, "max_tokens": 40, "max_sentences": 3, **options})
        return label_file(generator_of_words(search or beam(), settings), source, output, small, alone())

    return run


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_corpus(path: Path, count: int = 30) -> list[dict[str, Any]]:
    """Records with targets and fields of their own, each tenth one broken; returns the others."""
    write_input(path, count)
    records = [{**record, "tgt": "gold", "error": "a field", "n": [1]} for record in lines(path)]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return [record for record in records if record["src"]]


def test_every_usable_record_comes_back_whole_with_what_decoding_gives(tmp_path: Path, label: Any) -> None:
    records = write_corpus(tmp_path / "corpus.jsonl")
    assert label(tmp_path / "corpus.jsonl", tmp_path / "labels.jsonl") == Summary(30, 3, label_cut(records))
    decode(tmp_path / "corpus.jsonl", tmp_path / "hyp.jsonl")
    decoded = {made["id"]: made for made in lines(tmp_path / "hyp.jsonl")}
    teacher = fingerprint(tmp_path / "model.safetensors")["sha256"][:16]
    wanted = [
        {
            **record,
            "tgt_pseudo": decoded[record["id"]]["tgt"],
            "score": decoded[record["id"]]["score"],
            "teacher": teacher,
        }
        for record in records
    ]
    assert lines(tmp_path / "labels.jsonl") == wanted
    assert [bad["line"] for bad in lines(tmp_path / "labels.jsonl.errors.jsonl")] == [10, 20, 30]
    job = json.loads((tmp_path / "labels.jsonl.state.json").read_text())["job"]
    assert job["settings"]["model"]["sha256"].startswith(teacher)


def label_cut(records: list[dict[str, Any]]) -> int:
    return sum(len(record["src"].split()) > 12 for record in records)


def test_a_job_that_is_stopped_anywhere_ends_with_the_same_bytes(tmp_path: Path, label: Any) -> None:
    write_corpus(tmp_path / "corpus.jsonl")
    label(tmp_path / "corpus.jsonl", tmp_path / "whole.jsonl")

    class Stopped(type(beam())):  # type: ignore[misc]
        """Stops the process, as far as the job can see, at its second batch."""

        calls = 0

        def __call__(self, model: Any, sources: Any) -> Any:
            self.calls += 1
            if self.calls == 2:
                raise KeyboardInterrupt
            return super().__call__(model, sources)

    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            label(tmp_path / "corpus.jsonl", tmp_path / "parts.jsonl", Stopped(beam().config, WORDS.index))
    label(tmp_path / "corpus.jsonl", tmp_path / "parts.jsonl")
    assert (tmp_path / "parts.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not (tmp_path / "parts.jsonl.parts").exists()


def test_labels_of_another_corpus_another_temperature_or_cut_in_half_are_refused(tmp_path: Path, label: Any) -> None:
    corpus, output = tmp_path / "corpus.jsonl", tmp_path / "labels.jsonl"
    write_corpus(corpus)
    label(corpus, output)
    write_corpus(tmp_path / "other.jsonl", 20)
    for source, options, reason in (
        (tmp_path / "other.jsonl", {}, "belongs to another job .input was a file of"),
        (corpus, {"temperature": 2.0}, r"settings.decoder.attention_temperature was null, is now 2\.0"),
    ):
        with pytest.raises(InputError, match=reason):
            label(source, output, **options)
    before = output.read_bytes()
    output.write_bytes(before[: len(before) // 2])
    with pytest.raises(InputError, match=rf"has {len(before) // 2} bytes, {len(before)} were written"):
        label(corpus, output)
    with pytest.raises(InputError, match="belongs to another job"):
        decode(corpus, output)


def test_a_record_for_which_the_teacher_writes_nothing_is_left_out_and_told(tmp_path: Path, label: Any) -> None:
    write_corpus(tmp_path / "corpus.jsonl", 8)
    nothing = beam(min_length=0, max_length=1, forbidden_tokens=[*WORDS[:2], *WORDS[3:]])
    assert label(tmp_path / "corpus.jsonl", tmp_path / "labels.jsonl", nothing).failed == 8
    assert (tmp_path / "labels.jsonl").read_text() == ""
    errors = lines(tmp_path / "labels.jsonl.errors.jsonl")
    assert {bad["error"] for bad in errors} == {"the teacher writes nothing for it"}
    with pytest.raises(InputError, match=r"^the teacher writes nothing for it"):
        label(tmp_path / "corpus.jsonl", tmp_path / "strict.jsonl", nothing, strict=True)


def test_a_field_that_json_cannot_hold_is_named(tmp_path: Path, label: Any) -> None:
    table = pyarrow.Table.from_pylist([{"src": "w1 w2", "tgt": "x", "day": datetime.date(2022, 3, 2)}])
    pyarrow.parquet.write_table(table, tmp_path / "corpus.parquet")
    label(tmp_path / "corpus.parquet", tmp_path / "labels.jsonl")
    (bad,) = lines(tmp_path / "labels.jsonl.errors.jsonl")
    assert bad["error"] == "'day' holds a date, which JSON lines cannot hold; leave it out"


@pytest.mark.parametrize("name", ["-", "labels.csv", "labels.parquet", "labels.txt"])
def test_labels_are_json_lines_in_a_file(tmp_path: Path, label: Any, name: str) -> None:
    write_corpus(tmp_path / "corpus.jsonl", 3)
    with pytest.raises(InputError, match=r"pseudo-labels are JSON lines in a file; give a name in \.jsonl"):
        label(tmp_path / "corpus.jsonl", name if name == "-" else tmp_path / name)
