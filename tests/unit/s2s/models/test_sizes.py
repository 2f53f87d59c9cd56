"""Sizes come from the user, the checkpoint and the task, and they must agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from s2s.errors import ConfigError
from s2s.models.unilm import UniLM

CHECKPOINT = {
    "model_type": "bert",
    "vocab_size": 3000,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
    "hidden_dropout_prob": 0.3,
}
TASK = {"vocab_size": 3000, "num_positions": 50}


@pytest.fixture
def folder(tmp_path: Path) -> str:
    (tmp_path / "config.json").write_text(json.dumps(CHECKPOINT))
    return str(tmp_path)


def resolve(defaults: dict[str, int], **options: Any) -> Any:
    return UniLM.resolve(UniLM.Config(**options), defaults)


def test_sizes_come_from_the_checkpoint(folder: str) -> None:
    for way in ("init", "like"):
        config = resolve(TASK, **{way: folder})
        assert (config.hidden_size, config.num_layers, config.num_heads, config.max_positions) == (24, 2, 3, 64)
        assert (config.vocab_size, config.hidden_dropout, config.embedding_size) == (3000, 0.3, 24)


def test_resolving_twice_changes_nothing(folder: str) -> None:
    config = resolve({**TASK, "num_positions": 100}, init=folder, attention_dropout=0.0)
    assert (config.max_positions, config.attention_dropout) == (100, 0.0)
    stored = UniLM.Config(**config.model_dump())
    assert UniLM.resolve(stored, TASK) == config
    (Path(folder) / "config.json").unlink()  # what is stored in a run needs its checkpoint no more
    assert UniLM.resolve(stored, TASK) == config


def test_like_takes_what_the_user_and_the_task_say(folder: str) -> None:
    config = resolve({"vocab_size": 120}, like=folder, num_layers=5, hidden_size=12)
    assert (config.num_layers, config.hidden_size, config.vocab_size) == (5, 12, 120)


def test_tables_may_be_resized(folder: str) -> None:
    config = resolve(TASK, init=folder, num_segments=6, source_segment=4, target_segment=5, max_positions=50)
    assert (config.num_segments, config.max_positions) == (6, 50)


def test_added_tokens_grow_the_vocabulary(folder: str) -> None:
    assert resolve({"vocab_size": 3002, "added_tokens": 2}, init=folder).vocab_size == 3002


def test_unused_rows_of_the_vocabulary_are_kept(folder: str) -> None:
    assert resolve({"vocab_size": 2001}, init=folder).vocab_size == 3000


MISTAKES: list[tuple[str, dict[str, Any], dict[str, int]]] = [
    ("model.init: give either init .* or like .*, found both", {"init": "FOLDER", "like": "FOLDER"}, TASK),
    ("model.hidden_size: must be 24 as in .*, found 48", {"init": "FOLDER", "hidden_size": 48}, TASK),
    ("tokenizer has 3001 tokens, .* has 3000; they must agree", {"init": "FOLDER"}, {"vocab_size": 3001}),
    ("tokenizer has 3003 tokens", {"init": "FOLDER"}, {"vocab_size": 3003, "added_tokens": 2}),
    ("tokenizer has 2000 tokens, .* has 3000", {"init": "FOLDER"}, {"vocab_size": 2000}),
    ("tokenizer has 31 tokens, model.vocab_size has 30", {"vocab_size": 30}, {"vocab_size": 31}),
    ("model.vocab_size: must be given", {}, {}),
    ("model.max_positions: must be at least 50, .* found 49", {"init": "FOLDER", "max_positions": 49}, TASK),
    (r"model.num_heads: must divide model.hidden_size \(10\), found 3", {"hidden_size": 10, "num_heads": 3}, TASK),
    (
        "model.max_relative_distance: must be more than a quarter",
        {"relative_buckets": 32, "max_relative_distance": 8},
        TASK,
    ),
    (r"model.target_segment: must be a row .*\(2 rows\), found 5", {"init": "FOLDER", "target_segment": 5}, TASK),
]


@pytest.mark.parametrize(("message", "options", "defaults"), MISTAKES)
def test_disagreement_is_one_line(folder: str, message: str, options: dict[str, Any], defaults: dict[str, int]) -> None:
    named = {key: folder if value == "FOLDER" else value for key, value in options.items()}
    with pytest.raises(ConfigError, match=message) as caught:
        resolve(defaults, **named)
    assert "\n" not in str(caught.value)
