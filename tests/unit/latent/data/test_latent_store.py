"""Stores of latents: what is damaged or foreign is refused when a store is opened, in one line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from latent.data.latent_store import LatentStore, StoreFacts, write_store
from latent.data.manifest import Utterance
from s2s.errors import InputError

FACTS = StoreFacts("run", 3, 4000, 20, "gaussian", 0.5)


def write(folder: Path) -> Path:
    utterances = [Utterance(f"u{i}", Path("a.wav"), 1.0, "text") for i in range(4)]
    entries = [(utterance, np.full((5 + i, 3), i, np.float32)) for i, utterance in enumerate(utterances)]
    write_store(folder, FACTS, entries, shard_frames=10)
    (folder / "audio_tokenizer").mkdir()
    (folder / "audio_tokenizer/config.yaml").write_text("model: {}\n")
    save_file({"weight": np.zeros(2, np.float32)}, folder / "audio_tokenizer/model.safetensors")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return write(tmp_path / "store")


def change_line(**values: Any) -> Callable[[Path], None]:
    def change(store: Path) -> None:
        lines = (store / "index.jsonl").read_text().splitlines()
        record = {**json.loads(lines[1]), **values}
        lines[1] = json.dumps({key: value for key, value in record.items() if value != "absent"})
        (store / "index.jsonl").write_text("\n".join(lines) + "\n")

    return change


def change_facts(**values: Any) -> Callable[[Path], None]:
    def change(store: Path) -> None:
        path = store / "store.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


def rewrite_shard(arrays: dict[str, Any]) -> Callable[[Path], None]:
    return lambda store: save_file(arrays, store / "shard-00000.safetensors")


def link_shard(store: Path) -> None:
    (store / "shard-00000.safetensors").rename(store.parent / "elsewhere")
    (store / "shard-00000.safetensors").symlink_to(store.parent / "elsewhere")


DAMAGE: list[tuple[Callable[[Path], object], str]] = [
    (lambda store: os.truncate(store / "shard-00000.safetensors", 100), r"shard-00000.safetensors: damaged"),
    (lambda store: (store / "shard-00001.safetensors").unlink(), r"shard-00001.safetensors: there is no such file"),
    (link_shard, r"shard-00000.safetensors: there is no such file"),
    (
        rewrite_shard({"other": np.zeros((5, 3), np.float32)}),
        r"index.jsonl:1: latents of 'u0' must have shape .*lacks it",
    ),
    (rewrite_shard({"u0": np.zeros((4, 3), np.float32)}), r"index.jsonl:1: .* \[5, 3\], .* one of shape \[4, 3\]"),
    (rewrite_shard({"u0": np.zeros((5, 3), np.float64)}), r"shard-00000.safetensors: 'u0' must be float32"),
    (change_line(text=None), r"index.jsonl:2: 'text' must be a string, found null"),
    (change_line(text="absent"), r"index.jsonl:2: not a line of an index of latents"),
    (change_line(more=1), r"index.jsonl:2: not a line of an index of latents"),
    (change_line(speaker=7), r"index.jsonl:2: 'speaker' must be a string"),
    (change_line(frames=-6), r"index.jsonl:2: 'frames' must be a whole number above 0, found a number \(-6\)"),
    (change_line(frames="6"), r"index.jsonl:2: 'frames' must be a whole number"),
    (change_line(frames=7), r"index.jsonl:2: latents of 'u1' must have shape \[7, 3\]"),
    (change_line(shard="../../../../etc/passwd"), r"index.jsonl:2: 'shard' must be the name of a shard"),
    (change_line(shard="/etc/passwd"), r"index.jsonl:2: 'shard' must be the name of a shard"),
    (change_line(shard=["a"]), r"index.jsonl:2: 'shard' must be a string"),
    (change_facts(latent_size=4), r"index.jsonl:1: latents of 'u0' must have shape \[5, 4\]"),
    (change_facts(hop_length=0), r"store.json: damaged: .*hop_length"),
    (change_facts(sigma_rule="odd"), r"store.json: damaged"),
    (change_facts(std="much"), r"store.json: damaged"),
    (change_facts(more=1), r"store.json: damaged"),
    (lambda store: (store / "store.json").write_text("[1]"), r"store.json: expected a JSON object"),
    (lambda store: (store / "store.json").unlink(), r"store: is not a finished store of latents, it lacks store.json"),
    (lambda store: (store / "index.jsonl").write_text(""), r"index.jsonl: the file is empty"),
    (lambda store: (store / "audio_tokenizer/config.yaml").unlink(), r"audio_tokenizer: lacks config.yaml"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGE)
def test_a_damaged_store_is_refused_when_it_is_opened(
    store: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(store)
    with pytest.raises(InputError, match=message):
        LatentStore(store)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(length=st.integers(0, 400), name=st.sampled_from(["store.json", "index.jsonl", "shard-00000.safetensors"]))
def test_a_file_cut_off_anywhere_is_refused_or_makes_no_difference(
    tmp_path_factory: pytest.TempPathFactory, length: int, name: str
) -> None:
    store = write(tmp_path_factory.mktemp("cut") / "store")
    whole = LatentStore(store)
    content = (store / name).read_bytes()
    (store / name).write_bytes(content[:length])
    try:
        found = LatentStore(store)
    except InputError:
        return
    assert found.facts == whole.facts
    assert found.utterances == whole.utterances[: len(found)]
    for index in range(len(found)):
        found.mean(index)


def test_a_store_without_its_tokenizer_is_reported(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert len(LatentStore(store)) == 4
    assert caplog.messages == []
    (store / "audio_tokenizer").rename(store.parent / "away")
    LatentStore(store)
    assert "holds no audio_tokenizer/; to speak, its models will need --tokenizer" in caplog.text
