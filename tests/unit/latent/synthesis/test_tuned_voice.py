"""A tiny VibeVoice fine-tuned on two speakers: from recordings to a voice, to a checkpoint, and to other programs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from command_line import error_of, unilatent
from safetensors.torch import load_file, save_file
from tiny_checkpoint import write_vibevoice

from latent.audio.files import load_audio, write_audio
from latent.audio.levels import normalize_loudness
from latent.audio_tokenizer import encode_samples
from latent.data.latent_store import LatentStore
from latent.models.checkpoints import load_vibevoice
from latent.models.keymaps import repository_name
from latent.synthesis.voices import open_voice
from s2s.errors import InputError
from s2s.run import build_model, load_weights, parse_config, read_run, train_run

pytest.importorskip("soundfile")
pytest.importorskip("soxr")

RATE = 24_000


def write_recordings(folder: Path) -> Path:
    """Two speakers, each with two recordings of about a second."""
    folder.mkdir()
    lines = []
    for number, speaker in enumerate(["ann", "ann", "ben", "ben"]):
        noise = np.random.default_rng(number).standard_normal(RATE + 2000 * number)
        write_audio(folder / f"{number}.wav", (0.05 * noise).astype(np.float32), RATE)
        line = {"id": f"r{number}", "audio": f"{number}.wav", "text": f"Number {number}.", "speaker": speaker}
        lines.append(json.dumps(line))
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    return folder / "manifest.jsonl"


def config(home: Path, **train: Any) -> Any:
    return parse_config(
        {
            "task": {
                "name": "vibevoice_synthesis",
                "train": str(home / "store"),
                "valid": str(home / "store"),
                "voice_frames": 4,
                "min_voice_frames": 2,
            },
            "model": {
                "init": str(home / "base"),
                "adapters": {"rank": 2, "full": ["head", "connector", "semantic_connector"]},
            },
            "optim": {"lr": 3e-3, "schedule": "constant"},
            "train": {"max_steps": 6, "validate_every": 3, "max_tokens": 1000, "device": "cpu", "loggers": [], **train},
        }
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint `base`, recordings, their `store`, the run `tuned`, and `merged`."""
    folder = tmp_path_factory.mktemp("tuned")
    write_vibevoice(folder / "base", talks=True)
    manifest = write_recordings(folder / "recordings")
    unilatent("encode", manifest, "--tokenizer", folder / "base", "--output", folder / "store", "--device", "cpu")
    train_run(config(folder), folder / "tuned")
    unilatent("merge", folder / "tuned", "--output", folder / "merged")
    return folder


def test_a_store_holds_what_both_encoders_make_of_recordings_at_the_loudness_of_voices(home: Path) -> None:
    store, model = LatentStore(home / "store"), load_vibevoice(str(home / "base"))
    samples = normalize_loudness(load_audio(home / "recordings/2.wav", RATE))
    padded = torch.from_numpy(np.pad(samples, (0, -len(samples) % 3200)))[None, None]
    mean = encode_samples(model.acoustic, samples, "cpu").numpy()
    features, _ = model.semantic(padded, None)
    assert np.allclose(store.frames(2), np.concatenate([mean, features[0].numpy()], 1), atol=1e-5)
    assert store.facts.semantic_size == 5
    assert not (home / "store/audio_tokenizer").exists()


def test_a_run_holds_what_was_trained_and_no_tokenizer_of_audio(home: Path) -> None:
    stored = load_file(home / "tuned/model.safetensors")
    whole = {name.partition(".")[0] for name in stored if not name.endswith((".up", ".down"))}
    assert whole == {"head", "connector", "semantic_connector"}
    assert sum(map(torch.numel, stored.values())) < 0.2 * sum(
        map(torch.numel, load_file(home / "base/model.safetensors").values())
    )


def test_a_run_that_was_stopped_continues_exactly(home: Path, tmp_path: Path) -> None:
    train_run(config(home, max_steps=3), tmp_path / "run")
    train_run(config(home), tmp_path / "run")
    for name in ("model", "training"):
        file = f"checkpoints/step-000006/{name}.safetensors"
        one, other = load_file(tmp_path / "run" / file), load_file(home / "tuned" / file)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)


def say(checkpoint: Path, recording: Path, *overrides: str) -> Any:
    options = ["decoder.num_inference_steps=3", "decoder.max_seconds=1", *overrides]
    voice = open_voice(checkpoint, device="cpu", overrides=options)
    prompt = voice.prompt(recording, consent=True)
    request = voice.request("a", "Number five.", prompt=prompt, seed=3)
    return voice.say(request).samples


def test_a_run_and_what_merge_makes_of_it_speak_alike_and_not_as_their_base(home: Path) -> None:
    tuned, merged, base = (say(home / name, home / "recordings/0.wav") for name in ("tuned", "merged", "base"))
    assert len(tuned) == len(merged) > 0
    assert np.abs(tuned - merged).max() < 1e-6
    assert len(base) != len(tuned) or np.abs(base - tuned).max() > 1e-3


def test_merged_weights_are_a_checkpoint_in_the_layout_of_the_base(home: Path) -> None:
    base, merged = (load_file(home / name / "model.safetensors") for name in ("base", "merged"))
    assert {name: tensor.shape for name, tensor in base.items()} == {name: t.shape for name, t in merged.items()}
    changed = {name for name in base if not torch.equal(base[name], merged[name])}
    assert all(
        name.startswith(
            (
                "model.language_model.layers.",
                "model.diffusion_head.",
                "model.multi_modal_projector.",
                "model.semantic_connector.",
            )
        )
        for name in changed
    )
    assert sum("_proj.weight" in name and "language_model" in name for name in changed) == 2 * 7
    whole = transformers.VibeVoiceForConditionalGeneration.from_pretrained(home / "merged")
    weight = whole.model.language_model.layers[1].mlp.up_proj.weight
    assert torch.equal(weight, merged["model.language_model.layers.1.mlp.up_proj.weight"])


def test_merging_keeps_names_of_the_repository_and_shards(home: Path, tmp_path: Path) -> None:
    weights = load_file(home / "base/model.safetensors")
    renamed = {name: repository_name(name) for name in weights}
    assert renamed["model.diffusion_head.timestep_proj.fc1.weight"] == "model.prediction_head.t_embedder.mlp.0.weight"
    shutil.copytree(home / "base", tmp_path / "base")
    (tmp_path / "base/model.safetensors").unlink()
    shards: dict[str, dict[str, torch.Tensor]] = {"model-1-of-2.safetensors": {}, "model-2-of-2.safetensors": {}}
    for number, name in enumerate(weights):
        shards[sorted(shards)[number % 2]][renamed[name]] = weights[name].bfloat16()
    places = {name: file for file, tensors in shards.items() for name in tensors}
    for file, tensors in shards.items():
        save_file(tensors, tmp_path / "base" / file)
    (tmp_path / "base/model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    shutil.copytree(home / "store", tmp_path / "store")
    train_run(config(tmp_path, max_steps=1), tmp_path / "tuned")
    unilatent("merge", tmp_path / "tuned", "--output", tmp_path / "merged")
    for file, tensors in shards.items():
        found = load_file(tmp_path / "merged" / file)
        assert found.keys() == tensors.keys()
        wide = {name for name in found if found[name].dtype == torch.float32}
        assert all(("language_model" in name) or ("head" in name) or ("connector" in name) for name in wide)
        assert all(torch.equal(found[name], tensors[name]) for name in found.keys() - wide)
    state = load_vibevoice(str(tmp_path / "merged")).language.state_dict()
    trained = build_model(read_run(tmp_path / "tuned"))
    load_weights(trained, tmp_path / "tuned")
    for name, tensor in trained.state_dict().items():
        if not name.startswith("semantic_connector."):
            assert torch.equal(state[name], tensor), name


def test_other_programs_find_adapters_head_and_connectors_in_the_folder_lora(home: Path) -> None:
    """As `load_lora_assets` of vibevoice-community does: `peft` for the language model, three files for the rest."""
    peft = pytest.importorskip("peft")
    whole = transformers.VibeVoiceForConditionalGeneration.from_pretrained(home / "base").eval()
    merged = transformers.VibeVoiceForConditionalGeneration.from_pretrained(home / "merged").eval()
    language = peft.PeftModel.from_pretrained(whole.model.language_model, home / "tuned/lora").eval()
    tokens = torch.arange(20).unsqueeze(0)
    with torch.no_grad():
        wanted = merged.model.language_model(tokens).last_hidden_state
        assert torch.allclose(language(tokens).last_hidden_state, wanted, atol=1e-5)
    files = {
        "model.prediction_head.": "diffusion_head_full.bin",
        "model.acoustic_connector.": "acoustic_connector/pytorch_model.bin",
        "model.semantic_connector.": "semantic_connector/pytorch_model.bin",
    }
    public = {repository_name(name): tensor for name, tensor in load_file(home / "merged/model.safetensors").items()}
    for prefix, file in files.items():
        found = torch.load(home / "tuned/lora" / file, weights_only=True)
        wanted_names = {name.removeprefix(prefix) for name in public if name.startswith(prefix)}
        assert found.keys() == wanted_names
        assert all(torch.equal(tensor, public[prefix + name]) for name, tensor in found.items())


def test_another_base_is_refused_and_one_that_moved_is_named(home: Path, tmp_path: Path) -> None:
    write_vibevoice(tmp_path / "other", seed=1)
    with pytest.raises(InputError, match=r"other: is not the base of these adapters"):
        open_voice(home / "tuned", device="cpu", overrides=[f"model.init={tmp_path / 'other'}"])
    shutil.copytree(home / "base", tmp_path / "moved")
    recording = home / "recordings/0.wav"
    moved = say(home / "tuned", recording, f"model.init={tmp_path / 'moved'}")
    assert np.array_equal(moved, say(home / "tuned", recording))


def test_a_folder_with_files_is_not_written_into(home: Path) -> None:
    assert "holds files already" in error_of("merge", home / "tuned", "--output", home / "merged")
