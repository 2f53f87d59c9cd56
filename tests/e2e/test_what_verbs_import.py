"""A verb imports what it needs and no more, because libraries take seconds to import. Counted, not timed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from unilatent.verbs import VERBS

DATA = Path(__file__).parents[1] / "regression/data"
LIBRARIES = [
    "torch",
    "numpy",
    "transformers",
    "datasets",
    "pyarrow",
    "pandas",
    "safetensors",
    "tokenizers",
    "matplotlib",
    "nltk",
    "sacrebleu",
    "rouge_score",
    "soundfile",
    "fastapi",
    "uvicorn",
    "huggingface_hub",
    "rich",
    "sympy",
    "torch._dynamo",
    "torch.distributed.fsdp",
    "s2s.run",
    "latent",
    "data_prep",
    "eval",
]
HELP = [[], ["--help"], ["--version"], *([verb, "--help"] for verb in VERBS), ["configs"]]
WITHOUT_TORCH = [
    ["evaluate", "--task", "generic", "--hyp", "in.jsonl", "--ref", "in.jsonl", "--resamples", "2"],
    ["evaluate", "--task", "xsum", "--hyp", "in.jsonl", "--ref", "in.jsonl", "--resamples", "2"],
    ["prepare", "subset", "sample:en", "few", "--train", "1", "--valid", "1", "--test", "1"],
    ["prepare", "tsv", "pairs", "--train", "in.tsv"],
]
TEXT = [
    ["show", str(DATA / "run")],
    ["options", "task", "seq2seq"],
    ["decode", str(DATA / "run"), "--input", "in.jsonl", "--output", "out.jsonl", "--device", "cpu"],
    ["rerank", str(DATA / "run"), "--trace", str(DATA / "decoded/beam.trace.jsonl"), "--length-penalty", "1"],
    ["convert", str(DATA / "run"), "converted"],
]
SPEECH = [["synthesize", str(DATA / "speech/voice"), "--text", "Good.", "--output", "a.wav"]]
COUNT = """
import json, os, sys
commands, libraries, first = json.loads(sys.argv[1])
for name in first:
    __import__(name)
for command in commands:
    reader, writer = os.pipe()
    if os.fork() == 0:
        with open(os.devnull, "w") as nothing:
            for stream in (1, 2):
                os.dup2(nothing.fileno(), stream)
        from unilatent.__main__ import main
        sys.argv = ["unilatent", *command]
        status = None
        try:
            main()
        except SystemExit as ending:
            status = ending.code
        os.write(writer, json.dumps([str(status), [name for name in libraries if name in sys.modules]]).encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as answer:
        print(answer.read(), flush=True)
    os.wait()
"""
"""Each command in a child of a process that has imported nothing but `first`."""


def imported_by(commands: list[list[str]], folder: Path, first: tuple[str, ...] = ()) -> dict[str, set[str]]:
    """The libraries that each command has imported when it ends; each must end well."""
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    for name, content in (("in.jsonl", '{"src": "a fast tool", "tgt": "a tool"}\n'), ("in.tsv", "a\tb\nc\td\n")):
        (folder / name).write_text(content)
    given = json.dumps([commands, LIBRARIES, first])
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", COUNT, given], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    ends = {" ".join(command): end for command, (end, _) in zip(commands, answers, strict=True)}
    assert {command: end for command, end in ends.items() if end not in ("None", "0") and command} == {}
    return {" ".join(command): {*names} for command, (_, names) in zip(commands, answers, strict=True)}


def test_help_and_lists_import_no_library(tmp_path: Path) -> None:
    assert {command: names for command, names in imported_by(HELP, tmp_path).items() if names} == {}


def test_scores_and_corpora_do_not_import_torch(tmp_path: Path) -> None:
    pytest.importorskip("sacrebleu")
    for command, names in imported_by(WITHOUT_TORCH, tmp_path).items():
        unwanted = {"torch", "transformers", "datasets", "s2s.run", "latent"}
        if "pandas" not in names:  # which scikit-learn imports for nltk where it is installed, and with it pyarrow
            unwanted.add("pyarrow")
        assert not names & unwanted, command


@pytest.mark.parametrize("kind", ["text", "speech"])
def test_models_import_torch_and_little_else(kind: str, tmp_path: Path) -> None:
    if kind == "speech":
        pytest.importorskip("soundfile")
    allowed = {"torch", "numpy", "safetensors", "tokenizers", "pyarrow", "s2s.run"}
    allowed |= {"soundfile", "latent"} if kind == "speech" else set()
    for command, names in imported_by(SPEECH if kind == "speech" else TEXT, tmp_path, ("torch",)).items():
        assert names <= allowed, command
