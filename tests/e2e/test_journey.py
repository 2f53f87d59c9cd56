"""The journeys of the README by subprocess, exactly as a user types them, on a few shipped pairs and a tiny model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

REPO = Path(__file__).parents[2]
SAMPLE = REPO / "data_prep/sample/en"


def run(folder: Path, *command: object) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-m", "unilatent", *map(str, command)]
    result = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pairs as TSV, a WordPiece vocabulary made from them, and a run trained on what prepare made."""
    folder = tmp_path_factory.mktemp("journey")
    records = [json.loads(line) for line in (SAMPLE / "train.jsonl").read_text().splitlines()[:60]]
    rows = [(record["src"].replace("\t", " "), record["tgt"]) for record in records]
    (folder / "pairs.tsv").write_text("".join(f"{source}\t{target}\n" for source, target in rows))
    letters = sorted(
        {character for row in rows for text in row for character in text.lower() if not character.isspace()}
    )
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    (folder / "vocabulary").mkdir()
    (folder / "vocabulary/vocab.txt").write_text("\n".join(vocabulary) + "\n")
    (folder / "my.yaml").write_text(
        "task: {tokenizer: vocabulary, train: data/train.jsonl, valid: data/train.jsonl}\n"
        "model: {hidden_size: 32, num_layers: 2, num_heads: 2, intermediate_size: 64, num_segments: 2}\n"
        "decoder: {beam_size: 3}\n"
        "optim: {lr: 1e-3}\n"
        "train: {max_steps: 8, max_tokens: 1024, validate_every: 4, keep_last: 2, log_every: 2, device: cpu}\n"
    )
    run(folder, "prepare", "tsv", "data", "--train", "pairs.tsv")
    run(folder, "train", "my.yaml", "--output", "run")
    return folder


def test_prepare_train_decode_evaluate(home: Path) -> None:
    assert (home / "data/DATA_CARD.md").is_file()
    run(home, "decode", "run", "--input", "data/train.jsonl", "--output", "hyp.jsonl", "--trace", "trace.jsonl")
    references = [json.loads(line) for line in (home / "data/train.jsonl").read_text().splitlines()]
    outputs = [json.loads(line) for line in (home / "hyp.jsonl").read_text().splitlines()]
    assert len(outputs) == len(references)
    table = run(
        home, "evaluate", "--task", "generic", "--hyp", "hyp.jsonl", "--ref", "data/train.jsonl", "--with-lead"
    ).stdout
    assert "ROUGE-L" in table
    assert "lead" in table

    run(home, "rerank", "run", "--trace", "trace.jsonl", "--output", "again.jsonl", "--length-penalty", "0")
    again = [json.loads(line) for line in (home / "again.jsonl").read_text().splitlines()]
    assert [record["tgt"] for record in again] == [record["tgt"] for record in outputs]


def test_standard_input_and_output(home: Path) -> None:
    line = json.dumps({"id": "x", "src": "a library that reads files"})
    result = subprocess.run(
        [sys.executable, "-m", "unilatent", "decode", "run"],
        cwd=home,
        input=line + "\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(result.stdout)["id"] == "x"


def test_the_same_training_again_says_that_it_is_done(home: Path) -> None:
    assert "already finished, 8 updates" in run(home, "train", "my.yaml", "--output", "run").stderr


def test_show_average_and_curve(home: Path) -> None:
    shown = run(home, "show", "run").stdout
    assert "method: pseudo_masked" in shown
    assert '"step": 8' in shown
    steps = sorted(path for path in (home / "run/checkpoints").iterdir())
    run(home, "average", *steps, "--output", "mean.safetensors")
    run(
        home,
        "decode",
        "run",
        "--checkpoint",
        "mean.safetensors",
        "--input",
        "data/train.jsonl",
        "--output",
        "mean.jsonl",
    )
    run(home, "evaluate", "curve", "run", "--output", "curve.png")
    assert (home / "curve.png").stat().st_size > 1000


def test_a_converted_run_is_read_by_transformers_and_by_us(home: Path) -> None:
    transformers = pytest.importorskip("transformers")
    run(home, "convert", "run", "bert")
    theirs = transformers.BertForMaskedLM.from_pretrained(home / "bert")
    tokenizer = transformers.AutoTokenizer.from_pretrained(home / "bert")
    inputs = tokenizer("a library that reads files", return_tensors="pt")
    from s2s.run import load_run

    _, _, ours, _ = load_run(home / "run")
    lengths = torch.tensor([inputs["input_ids"].shape[1]])
    with torch.no_grad():
        logits = ours.logits(ours.encode(inputs["input_ids"], lengths))
        torch.testing.assert_close(logits, theirs(**inputs).logits, atol=1e-4, rtol=1e-4)
    run(home, "train", "my.yaml", "--output", "second", "model={init: bert}", "train.max_steps=1")
