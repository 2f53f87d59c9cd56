"""A run goes to the hub and comes back the same, at the commit that is asked for; what cannot be is one line."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_melodies
import yaml
from command_line import error_of, unilatent
from hub_stand_in import Hub, serving
from huggingface_hub import constants

from s2s import hub as ours
from s2s import shipped
from s2s.errors import InputError
from s2s.generation.generator import Generator
from s2s.model_card import text_card
from s2s.run import train

DATA = Path(__file__).parents[2] / "regression/data"
TEXT = "A library that reads images."


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving() as found:
        point_to(found.address, tmp_path, monkeypatch)
        monkeypatch.setenv("HF_TOKEN", found.token)
        yield found


def point_to(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no_token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DATA / "run", tmp_path / "my_run"))


def test_a_run_that_was_pushed_generates_the_same(hub: Hub, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "checkpoints/step-000001").mkdir(parents=True)
    (run / "checkpoints/step-000001/model.safetensors").write_bytes(b"large")
    (run / "data.json").write_text("{}")
    (run / "code.py").write_text("raise SystemExit")
    unilatent("push", run, "ann/summaries", "--message", "First try")
    assert hub.address in capsys.readouterr().out
    repository = hub.repositories["ann/summaries"]
    assert repository.private
    assert repository.messages[-1] == "First try"
    files = repository.commits[repository.branches["main"]]
    expected = {"README.md", "config.yaml", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert set(files) - {".gitattributes"} == expected
    before, after = (Generator.load(name, device="cpu").generate(TEXT) for name in (run, "ann/summaries"))
    assert before == after


def test_the_card_tells_sizes_data_and_scores(hub: Hub, run: Path) -> None:
    records = [
        '{"split": "train", "step": 40, "loss": 3.0, "seconds": 61.0}',
        '{"split": "valid", "step": 20, "loss": 2.25, "accuracy": 0.4}',
        '{"split": "valid", "step": 40, "loss": 2.5, "accuracy": 0.5}',
    ]
    (run / "log.jsonl").write_text("".join(f"{record}\n" for record in records))
    tree = yaml.safe_load((run / "config.yaml").read_text())
    tree["task"]["train"] = "/home/ann/secret/pairs.jsonl"
    facts = {"bytes": 1500, "sha256": "ab" * 32}
    (run / "data.json").write_text(json.dumps({"/home/ann/secret/pairs.jsonl": facts}))
    (run / "config.yaml").write_text(yaml.safe_dump(tree))
    unilatent("push", run, "ann/summaries", "--public")
    repository = hub.repositories["ann/summaries"]
    assert not repository.private
    files = repository.commits[repository.branches["main"]]
    card = files["README.md"].decode()
    assert card.startswith("---\nlibrary_name: unilatent\n")
    assert "loss 2.25, accuracy 0.4 (after 20 updates)" in card
    assert "40 updates in 1:01, float32" in card
    assert "`pairs.jsonl` (1.5 kB, sha256 abababababab)" in card
    assert 'Generator.load("ann/summaries")' in card
    assert b"secret" not in b"".join(files.values())


def test_the_card_of_melodies_speaks_of_lyrics_and_notes(tmp_path: Path) -> None:
    tiny_melodies.write_tunes(tmp_path / "tunes.jsonl", 2)
    task = {"name": "melody_from_lyrics", "train": str(tmp_path / "tunes.jsonl")}
    model = {"hidden_size": 16, "encoder_layers": 1, "decoder_layers": 1}
    options = {"max_steps": 1, "workers": 0, "device": "cpu"}
    train({"task": task, "model": model, "train": options}, tmp_path / "run")
    card = text_card(tmp_path / "run", "ann/melodies")
    assert "A model that writes melodies for lyrics (task `melody_from_lyrics`)" in card
    assert "at most 48 syllables and 96 notes" in card
    assert "unilatent compose ann/melodies lyrics.txt" in card
    assert "texts" not in card
    assert "None" not in card


def test_a_training_starts_from_a_run_on_the_hub_at_one_commit(hub: Hub, run: Path, tmp_path: Path) -> None:
    unilatent("push", run, "ann/summaries")
    commit = hub.repositories["ann/summaries"].branches["main"]
    task = {"train": str(DATA / "input.jsonl"), "max_source": 30, "max_target": 10}
    options = {"max_steps": 1, "workers": 0, "device": "cpu"}
    train({"task": task, "model": {"init": "ann/summaries"}, "train": options}, tmp_path / "tuned")
    saved = yaml.safe_load((tmp_path / "tuned/config.yaml").read_text())
    assert saved["model"]["init"] == f"ann/summaries@{commit}"
    assert saved["model"]["hidden_size"] == 16


def test_a_revision_is_loaded_and_stays(hub: Hub, run: Path, tmp_path: Path) -> None:
    unilatent("push", run, "ann/summaries")
    repository = hub.repositories["ann/summaries"]
    first = repository.branches["main"]
    tree = yaml.safe_load((run / "config.yaml").read_text())
    tree["decoder"]["beam_size"] = 2
    (run / "config.yaml").write_text(yaml.safe_dump(tree))
    unilatent("push", run, "ann/summaries", "--revision", "small")
    sizes = {
        name: Generator.load("ann/summaries", revision=name, device="cpu").settings["decoder"]["beam_size"]
        for name in (None, "small", first)
    }
    assert sizes["small"] == 2
    assert sizes[None] == sizes[first] != 2
    assert Generator.load("ann/summaries@small", device="cpu").settings["decoder"]["beam_size"] == 2
    (tmp_path / "in.jsonl").write_text('{"src": "A tool."}\n')
    asked = ["--input", "in.jsonl", "--output", "out.jsonl", "--device", "cpu", "--revision", "small"]
    unilatent("decode", "ann/summaries", *asked)
    assert (tmp_path / "out.jsonl").read_text().startswith('{"id": 1, "tgt": ')
    with pytest.raises(InputError, match="it has no such commit, branch or tag"):
        Generator.load("ann/summaries", revision="none")
    with pytest.raises(InputError, match="revision small: is for runs on the hub"):
        Generator.load(run, revision="small")


def test_code_in_a_repository_is_not_downloaded_and_its_imports_are_refused(hub: Hub, run: Path) -> None:
    unilatent("push", run, "ann/evil")
    repository = hub.repositories["ann/evil"]
    config = repository.commits[repository.branches["main"]]["config.yaml"]
    evil = config.replace(b"imports: []", b"imports: [evil_module]")
    repository.add("main", {"config.yaml": evil, "evil_module.py": b"raise SystemExit(3)"})
    with pytest.raises(InputError, match="would run the code of 'evil_module'"):
        Generator.load("ann/evil", device="cpu")
    assert not list(Path(constants.HF_HUB_CACHE).rglob("*.py"))


def test_what_the_hub_refuses_is_one_line(hub: Hub, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "ann/none: no such folder, and it cannot be fetched from the hub: there is no such repository" in error_of(
        "decode", "ann/none"
    )
    assert "expected the name of a repository on the hub, USER/NAME" in error_of("push", run, "summaries")
    assert "not a run folder" in error_of("push", "cache", "ann/summaries")
    monkeypatch.delenv("HF_TOKEN")
    assert "you are not logged in; run `hf auth login`" in error_of("push", run, "ann/summaries")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "the hub refuses it: your token is not accepted" in error_of("push", run, "ann/summaries")


def test_a_voice_is_loaded_by_its_name_and_public_only_with_a_complete_card(hub: Hub, tmp_path: Path) -> None:
    pytest.importorskip("soundfile")
    from latent.synthesis.voice import Voice

    voice = Path(shutil.copytree(shipped.run_folder("demo"), tmp_path / "voice"))
    card = (voice / "MODEL_CARD.md").read_text()
    (voice / "MODEL_CARD.md").write_text(f"{card}\n- [ ] Consent: TO BE COMPLETED\n")
    assert "1 of its points TO BE COMPLETED; complete them, consent first" in error_of(
        "push", voice, "ann/voice", "--public"
    )
    assert not hub.repositories
    (voice / "MODEL_CARD.md").write_text(card)
    unilatent("push", voice, "ann/voice", "--public")
    opened = Voice.load("ann/voice", device="cpu")
    commit = hub.repositories["ann/voice"].branches["main"]
    assert opened.name == f"ann/voice@{commit[:12]}"
    assert opened.request("a", "Good morning.").speaker == "af_alloy"


def test_a_misspelled_run_folder_is_not_looked_for_on_the_hub(hub: Hub, run: Path) -> None:
    Path("runs").mkdir()
    assert "runs/mine: not a run folder" in error_of("decode", "runs/mine")
    assert hub.requests == 0


def test_without_a_network_a_name_fails_at_once_and_what_is_there_is_used(
    hub: Hub, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unilatent("push", run, "ann/summaries")
    Generator.load("ann/summaries", device="cpu")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and never answers
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(ours, "REACHABLE_SECONDS", 0.3)
        Generator.load("ann/summaries", device="cpu")
        Path("c.yaml").write_text("train: {max_steps: 1}\n")
        message = error_of("train", "c.yaml", "model.init=bert-base-uncased", "--output", "out")
        records = error_of("decode", run, "--input", "ann/pairs", "--output", "out.jsonl")
    assert "ann/pairs: neither a file nor a data set that can be read: not downloaded before, and the hub" in records
    assert "bert-base-uncased: no such folder, not downloaded before, and the hub cannot be reached: " in message
    assert "give a local folder (HF_HUB_OFFLINE=1" in message
