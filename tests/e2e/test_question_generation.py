"""From rows with answers to questions: the network of NQG finds the answer by its tag, and copies it."""

from __future__ import annotations

import json
import random
import string
from pathlib import Path

import pytest
from command_line import unilatent


def rows(count: int, seed: int) -> str:
    """Passages with two names that no other one has; the question is on the one that is the answer."""
    generator, lines = random.Random(seed), ""
    for number in range(count):
        names = ["".join(generator.choices(string.ascii_lowercase, k=7)) for _ in range(2)]
        passage, answer = f"a friend of {names[0]} met {names[1]} there .", generator.choice(names)
        answers = {"text": [answer], "answer_start": [passage.index(answer)]}
        row = {"id": str(number), "context": passage, "question": f"who is {answer} ?", "answers": answers}
        lines += json.dumps(row) + "\n"
    return lines


def test_answers_are_found_by_their_tags_and_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, count in {"train": 640, "test": 40}.items():
        Path(f"{name}.jsonl").write_text(rows(count, len(name)))
    given = ("--train", "train.jsonl", "--valid", "test.jsonl", "--template", "bio-feature")
    unilatent("prepare", "squad-qg", "data/squad-bio", *given)
    for file in ("train", "valid"):
        assert "answer_start" in Path(f"data/squad-bio/{file}.jsonl").read_text()
    Path("words.txt").write_text("a friend of met there . who is ?\n")
    unilatent("prepare", "vocabulary", "data/squad-words", "--input", "words.txt", "--kind", "words", "--size", "64")
    sizes = ("model.hidden_size=48", "model.embedding_size=16", "model.hidden_dropout=0", "optim.lr=1e-2")
    steps = ("train.epochs=null", "train.max_steps=60", "task.valid=null", "train.keep_best_by=loss")
    unilatent("train", "squad_nqg", "--output", "run", *sizes, *steps, "train.device=cpu", "train.workers=0")
    unilatent("decode", "run", "--input", "data/squad-bio/valid.jsonl", "--output", "out.jsonl", "--device", "cpu")
    made = [json.loads(line)["tgt"] for line in Path("out.jsonl").read_text().splitlines()]
    wanted = [json.loads(line)["tgt"] for line in Path("data/squad-bio/valid.jsonl").read_text().splitlines()]
    right = sum(
        text.lower().split("?")[0].split() == line.split()[:-1] for text, line in zip(made, wanted, strict=True)
    )
    assert right >= 38, made[:5]
