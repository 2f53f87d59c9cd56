"""`--profile` of train, decode and synthesize."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import yaml
from command_line import error_of, unilatent

REPO = Path(__file__).parents[3]
RUN = REPO / "tests/regression/data/run"
VOICE = REPO / "tests/regression/data/speech/voice"


def operations(folder: Path) -> set[str]:
    """Names of what a trace holds, after a look at the table."""
    assert "s of processors" in (folder / "table.txt").read_text()
    events = json.loads(gzip.decompress((folder / "trace.json.gz").read_bytes()))["traceEvents"]
    return {event["name"] for event in events}


def test_decode_writes_a_trace_and_a_table_beside_its_output(tmp_path: Path) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"src": "a fast tool"}\n')
    unilatent("decode", RUN, "--input", source, "--output", output, "--device", "cpu", "--profile", tmp_path / "p")
    assert len(output.read_text().splitlines()) == 1
    assert "aten::gelu" in operations(tmp_path / "p")


def test_train_profiles_updates_and_trains_nothing(tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text('{"src": "a fast tool", "tgt": "a tool"}\n' * 4)
    sizes = {"hidden_size": 8, "num_layers": 1, "num_heads": 2, "intermediate_size": 8}
    tree = {
        "task": {"train": str(tmp_path / "pairs.jsonl"), "tokenizer": str(RUN), "max_source": 8, "max_target": 8},
        "model": sizes,
        "train": {"max_steps": 5, "device": "cpu"},
    }
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tree))
    unilatent("train", tmp_path / "tiny.yaml", "--output", tmp_path / "run", "--profile", tmp_path / "p")
    assert not (tmp_path / "run").exists()
    assert {"aten::_fused_adamw_", "autograd::engine::evaluate_function: NllLossBackward0"} & operations(tmp_path / "p")


def test_synthesize_writes_a_trace_and_a_table(tmp_path: Path) -> None:
    pytest.importorskip("soundfile")
    more = ["--output", tmp_path / "a.wav", "--device", "cpu", "--profile", tmp_path / "p"]
    unilatent("synthesize", VOICE, "--text", "Good.", *more)
    assert "aten::linear" in operations(tmp_path / "p")


def test_a_file_in_the_place_of_the_folder_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"src": "a fast tool"}\n')
    given = ["decode", RUN, "--input", tmp_path / "in.jsonl", "--output", tmp_path / "out.jsonl", "--device", "cpu"]
    assert "in.jsonl" in error_of(*given, "--profile", tmp_path / "in.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
