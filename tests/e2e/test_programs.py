"""The programs beside the packages run: each benchmark with tiny sizes, and the scripts find what they import."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
BENCHMARKS = {
    "run --suite decode": "--sizes 2x64 --rounds 1 --batch 2 --source 16 --target 4 --vocabulary 500 --threads 1",
    "run --suite pretrain": "--sizes 1x32 --length 32 --texts 2 --rounds 1 --vocabulary 200 --threads 1",
    "run --suite train": "--sizes 1x32 --corpora debian --batches 1 --rounds 1 --vocabulary 200 --threads 1",
    "run --suite parts": "--sizes 2x64 --rounds 1 --batch 2 --source 16 --target 4 --vocabulary 500 --threads 1"
    " --kinds causal --precision float32",
    "run --suite files": "--sources 2 --rounds 1 --threads 1 --precision float32",
    "run --suite start": "--rounds 1 --threads 1",
    "run --suite speech": "--filters 2 --hidden 32 --layers 1 --heads 2 --kv-heads 1 --vocabulary 300 --prompt 8"
    " --frames 3 --steps 2 --rounds 1 --threads 1 --texts 1",
    "longform": "--minutes 0.1",
    "gpu": "--small --rounds 1",
    "run --suite serve": f"--text {REPO}/tests/regression/data/run --clients 6 --seconds 1 --warm-up 1 --rounds 1"
    " --round-seconds 1 --many 2",
}
NEEDS = {
    "compare_fairseq": "fairseq",
    "run --suite decode": "transformers",
    "run --suite train": "transformers",
    "run --suite files": "transformers",
    "run --suite speech": "transformers",
    "longform": "matplotlib",
    "run --suite serve": "fastapi",
}
PRINTS = {
    "run --suite decode": "times as fast as transformers BART",
    "run --suite pretrain": "times as fast as dense mask",
    "run --suite train": "times as fast as EncoderDecoderModel",
    "run --suite parts": "vocabulary product",
    "run --suite files": "2 of 2",
    "run --suite start": "unilatent synthesize",
    "run --suite speech": "real-time factor",
    "longform": "MiB",
    "gpu": "| beam search",
    "run --suite serve": "lost = 0",
}
SCRIPTS = sorted(
    path for path in (REPO / "scripts").glob("*.py") if not path.name.startswith(("golden_", "site_pages"))
)


QUICK = ("decode", "pretrain", "parts", "speech", "longform", "gpu")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name.endswith(QUICK) else [pytest.mark.slow]) for name in BENCHMARKS]
)
def test_a_benchmark_measures_tiny_sizes(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(NEEDS.get(name, "torch"))
    monkeypatch.syspath_prepend(str(REPO / "benchmarks"))
    program, *suite = name.split()
    importlib.import_module(program).main([*suite, *BENCHMARKS[name].split()])
    assert PRINTS[name] in capsys.readouterr().out


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_finds_what_it_imports(path: Path) -> None:
    pytest.importorskip(NEEDS.get(path.stem, "torch"))
    assert callable(importlib.import_module(path.stem).main)


def test_the_page_of_speeds_is_what_its_files_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(REPO / "benchmarks"))
    report = importlib.import_module("report")
    assert report.PAGE.read_text(encoding="utf-8") == report.page(list(report.RESULTS.glob("*.json")))
