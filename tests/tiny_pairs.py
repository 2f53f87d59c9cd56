"""A tiny training from pairs of text to text, with an encoder from random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WORDS = "a few small words of many that tell what one can say here".split()  # noqa: SIM905


def write_pairs(path: Path, count: int, first: int = 0) -> None:
    """Records whose target is the first two words of their source."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(first, first + count):
            chosen = [WORDS[(number * step + step) % len(WORDS)] for step in range(1, 5 + number % 3)]
            file.write(
                json.dumps({"id": number, "article": " ".join(chosen), "highlights": " ".join(chosen[:2])}) + "\n"
            )


def tree(folder: Path, valid: int = 12, **changes: Any) -> dict[str, Any]:
    """A configuration; a keyword argument `train={...}` adds options to that section. Writes the data it names."""
    (folder / "vocabulary").mkdir(exist_ok=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocabulary/vocab.txt").write_text("\n".join(vocabulary) + "\n")
    write_pairs(folder / "train.jsonl", 40)
    write_pairs(folder / "valid.jsonl", valid, first=40)
    base: dict[str, Any] = {
        "task": {
            **{"tokenizer": str(folder / "vocabulary"), "max_source": 10, "max_target": 5, "method": "causal"},
            **{"train": str(folder / "train.jsonl"), "valid": str(folder / "valid.jsonl")},
        },
        "model": {"hidden_size": 32, "num_layers": 2, "num_heads": 2, "intermediate_size": 48, "num_segments": 2},
        "optim": {"lr": 0.01, "schedule": "constant"},
        "decoder": {"beam_size": 2},
        "train": {
            **{"max_steps": 24, "max_tokens": 160, "validate_every": 4, "log_every": 1, "workers": 0},
            **{"device": "cpu", "loggers": []},
        },
    }
    return {key: {**value, **changes.get(key, {})} for key, value in base.items()}
