"""The shipped summarizer: small, documented, found by its name, and it has learned what a synopsis is."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import torch
from safetensors.torch import load_file

from s2s.generation.generator import Generator
from s2s.shipped import data_path, run_folder

FOLDER = Path(run_folder("summarizer"))


def overlap(one: str, other: str) -> float:
    """F1 of the words that two texts share."""
    a, b = (Counter(text.lower().split()) for text in (one, other))
    return 2 * (a & b).total() / (a.total() + b.total())


def test_it_is_small_and_says_where_it_comes_from() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 12_000_000
    matrices = [tensor for tensor in load_file(FOLDER / "model.safetensors").values() if tensor.ndim > 1]
    assert {tensor.dtype for tensor in matrices if len(tensor) > 2} == {torch.int8}  # two segments stay as they are
    card = (FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "Apache License" in (FOLDER / "LICENSE").read_text(encoding="utf-8")
    for said in ("all-MiniLM-L6-v2", "Debian", "ROUGE-L", "±", "## Limits", "## License", "Apache-2.0"):
        assert said in card
    assert "/" not in str(Generator.load("summarizer").config.tree()["model"]["init"])


def test_it_writes_synopses_of_packages_that_it_has_not_seen() -> None:
    records = [
        json.loads(line) for line in Path(data_path("sample:en/test.jsonl")).read_text(encoding="utf-8").splitlines()
    ]
    unseen = records[::5]
    made = Generator.load("summarizer", device="cpu").generate([record["src"] for record in unseen])
    shares = [overlap(one.text, record["tgt"]) for one, record in zip(made, unseen, strict=True)]
    assert all(one.text for one in made)
    assert sum(shares) / len(shares) > 0.25
    alone = Generator.load("summarizer", device="cpu").generate(unseen[3]["src"])
    assert alone.text == made[3].text
