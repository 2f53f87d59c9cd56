"""Hostile inputs through the real command line: one line that says where and what, nothing lost, nothing left behind.

Every module of `tests/hostile` generates the inputs of some kinds. Each input runs in a working directory of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

pytest.importorskip("soundfile")
pytest.importorskip("soxr")

from hostile import (
    arguments,
    corpora,
    options,
    recordings,
    records,
    run_folders,
    scripts,
    trust,
    yaml_text,
)
from hostile.cases import Case, complaints, tree_of
from hostile.command_line import call, call_limited
from hostile.home import SPEAK, Home
from hostile.known_failures import KNOWN_FAILURES

KINDS = [yaml_text, options, arguments, records, corpora, recordings, scripts, run_folders, trust]
CASES = [case for kind in KINDS for case in kind.cases()]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """What is damaged; and one thread, because children are forked."""
    threads, before = torch.get_num_threads(), os.environ.get("TOKENIZERS_PARALLELISM")
    torch.set_num_threads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    yield Home(tmp_path_factory.mktemp("home"))
    torch.set_num_threads(threads)
    if before is None:
        del os.environ["TOKENIZERS_PARALLELISM"]
    else:
        os.environ["TOKENIZERS_PARALLELISM"] = before


def _with_mark(case: Case) -> object:
    known = KNOWN_FAILURES.get(case.name)
    marks = [pytest.mark.xfail(reason=known, strict=True)] if known else []
    return pytest.param(case, id=case.name, marks=marks)


@pytest.mark.parametrize("case", map(_with_mark, CASES))
def test_it_is_one_line_and_nothing_is_lost(
    case: Case, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = case.command(home)
    before = tree_of(tmp_path)
    outcome = (call_limited if case.limited else call)(arguments)
    wrong = complaints(case, outcome, before, tree_of(tmp_path))
    assert not wrong, "; ".join(wrong) + f"\nunilatent {' '.join(arguments)[:400]}\n{outcome.stderr[-1500:]}"


def test_there_are_many_inputs_of_many_kinds() -> None:
    names = [case.name for case in CASES]
    kinds = {name.partition("/")[0] for name in names}
    print(f"{len(names)} hostile inputs of {len(kinds)} kinds")
    assert len(names) >= 300
    assert len(set(names)) == len(names)
    assert not KNOWN_FAILURES.keys() - set(names)


def _begun_wrongly() -> dict[str, tuple[list[str], list[str]]]:
    """A command that is refused, and the one that was meant, with the same output."""
    train = ["train", "text.yaml", "--output", "out"]
    decode = ["decode", "run", "--output", "out.jsonl", "--input"]
    say = ["synthesize", "voice", *SPEAK, "--output", "out"]
    prepare = ["prepare", "s2s-ft", "out", "--train"]
    encode = ["encode", "--tokenizer", "audio_tokenizer", "--output", "out", "--device", "cpu"]
    return {
        "train": ([*train, "task.train=bad.jsonl"], train),
        "train at a rate that diverges": ([*train, "optim.lr=1e30", "optim.clip_norm=0"], train),
        "decode": ([*decode, "bad.jsonl"], [*decode, "train.jsonl"]),
        "decode nothing": ([*decode, "empty.jsonl"], [*decode, "train.jsonl"]),
        "synthesize": ([*say, "--input", "bad.jsonl"], [*say, "--input", "good.jsonl"]),
        "prepare": ([*prepare, "bad.jsonl"], [*prepare, "train.jsonl"]),
        "encode": ([*encode, "bad.jsonl"], [*encode, "recordings/manifest.jsonl"]),
    }


@pytest.mark.parametrize("name", _begun_wrongly())
def test_a_refused_command_is_not_in_the_way_of_the_right_one(
    name: str, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for thing in ("text.yaml", "train.jsonl", "run", "voice", "audio_tokenizer", "recordings"):
        home.take(thing)
    Path("bad.jsonl").write_text("what is this?\n")
    Path("empty.jsonl").touch()
    Path("good.jsonl").write_text('{"text": "Good."}\n')
    wrong, right = _begun_wrongly()[name]
    assert call(wrong).status == 1
    outcome = call(right)
    assert outcome.status == 0, outcome
