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
from hostile.home import Home
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
