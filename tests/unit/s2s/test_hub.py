"""What comes from the hub comes at one revision, which the run records; the hub here is a stand-in."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from s2s import hub
from s2s.config import Section
from s2s.errors import InputError
from s2s.models.pretrained import locate, read_sizes
from s2s.run import load_config, read_run, train_run

CONFIG = {"model_type": "bert", "vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


class Hub:
    """Repositories whose main branch moves; what was asked of them is noted."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.main, self.asked = folder, 0, []  # type: ignore[var-annotated]

    def commit(self, number: int) -> str:
        return hashlib.sha1(str(number).encode()).hexdigest()

    def snapshot_download(self, name: str, revision: str | None = None, **_: Any) -> str:
        if name != "lab/tiny" or revision == "no-such":
            raise OSError(f"404: {name} is not there\nand more")
        self.asked.append(revision)
        number = next((n for n in range(9) if self.commit(n) == revision), self.main)
        snapshot = self.folder / "snapshots" / self.commit(number)
        snapshot.mkdir(parents=True, exist_ok=True)
        config = {**CONFIG, "intermediate_size": 32 * (number + 1)}
        (snapshot / "config.json").write_text(json.dumps(config))
        (snapshot / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghij"]))
        return str(snapshot)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    fake = Hub(tmp_path / "hub")
    monkeypatch.setattr("huggingface_hub.snapshot_download", fake.snapshot_download)
    return fake


class Toy(Section):
    """Options."""

    init: hub.Name = None
    other: str = "lab/tiny"


def test_a_name_is_pinned_to_its_commit_once(fake: Hub) -> None:
    first = hub.pin(Toy(init="lab/tiny"), {}, "model")
    assert first == Toy(init=f"lab/tiny@{fake.commit(0)}")
    fake.main = 1
    assert hub.pin(Toy(init="lab/tiny"), first.model_dump(), "model") == first
    assert hub.pin(first, {}, "model") == first
    assert hub.pin(Toy(init="lab/tiny@main"), first.model_dump(), "model").init == f"lab/tiny@{fake.commit(1)}"
    assert hub.pin(Toy(init="lab/tiny"), {"init": "lab/tiny"}, "model").init == "lab/tiny"  # a run of a former version
    assert hub.pin(Toy(), {}, "model") == Toy()


def test_local_paths_are_not_pinned(fake: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lab" / "tiny").mkdir(parents=True)
    for name in ("lab/tiny", str(tmp_path / "nowhere"), "./lab/other", "a/b/c"):
        assert hub.pin(Toy(init=name), {}, "model").init == name
    assert fake.asked == []


def test_a_revision_is_asked_for_by_name(fake: Hub) -> None:
    fake.main = 3
    assert locate(f"lab/tiny@{fake.commit(2)}").name == fake.commit(2)
    assert read_sizes(f"lab/tiny@{fake.commit(1)}")["intermediate_size"] == 64
    assert read_sizes("lab/tiny")["intermediate_size"] == 128
    assert None in fake.asked
    with pytest.raises(InputError, match=r"lab/tiny@no-such: no such folder, and .*: 404: .* there$"):
        locate("lab/tiny@no-such")


def test_a_run_records_the_commit_and_resumes_from_it(fake: Hub, tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"src": "a b c", "tgt": "a b"}\n' * 4)
    config = tmp_path / "my.yaml"
    config.write_text(
        f"task: {{train: {tmp_path}/train.jsonl, valid: {tmp_path}/train.jsonl, max_source: 8, max_target: 8}}\n"
        "model: {like: lab/tiny}\ntrain: {max_steps: 1, device: cpu, workers: 0}\n"
    )
    run = tmp_path / "run"
    train_run(load_config(config), run)
    recorded = read_run(run)
    assert recorded.model.config.like == f"lab/tiny@{fake.commit(0)}"  # type: ignore[attr-defined]
    assert recorded.model.config.intermediate_size == 32  # type: ignore[attr-defined]
    assert f"tokenizer: lab/tiny@{fake.commit(0)}" in (run / "config.yaml").read_text()
    fake.main, fake.asked = 1, []
    train_run(load_config(config), run)  # finished; a moved branch is not another configuration
    assert set(fake.asked) <= {fake.commit(0)}
