"""From a folder of recordings to a voice that speaks, with the command line alone, on clips of noise."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("soundfile")
from command_line import unilatent

from latent.audio.files import audio_info, write_audio
from latent.synthesis.provenance import read_tags

RATE = 4000
TEXTS = [
    "Good morning.",
    "Two of them.",
    "Never mind.",
    "So it is.",
    "Louder, please!",
    "A third way.",
    "Not I.",
    "Go on.",
]


def write_yaml(path: Path, **sections: object) -> Path:
    path.write_text(yaml.safe_dump(sections))
    return path


def test_recordings_become_a_voice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("clips").mkdir()
    rows = []
    for index, text in enumerate(TEXTS):
        noise = np.random.default_rng(index).standard_normal(RATE // 2 + 40 * len(text)).astype(np.float32)
        write_audio(f"clips/{index}.wav", 0.1 * noise, RATE)
        rows.append(f"{index}.wav\t{text}\t{'ann' if index % 2 else 'bob'}\n")
    Path("clips/transcripts.tsv").write_text("".join(rows))
    unilatent(
        "prepare", "transcripts", "clips", "corpus", "--sample-rate", RATE, "--valid-percent", 0, "--test-percent", 0
    )

    training = {"max_steps": 2, "workers": 0, "device": "cpu"}
    write_yaml(
        Path("tokenizer.yaml"),
        task={
            "name": "speech_autoencoding",
            "train": "corpus/train.jsonl",
            "valid": "corpus/train.jsonl",
            "sample_rate": RATE,
            "segment_seconds": 0.1,
        },
        model={
            "name": "sigma_vae",
            "ratios": [5, 8],
            "depths": [1, 1, 1],
            "widths": [4, 6, 8],
            "latent_size": 5,
            "layer_scale": 0.3,
            "initializer_range": 0.2,
        },
        criterion={"name": "sigma_vae", "mel_windows": [32, 64], "mel_bins": [5, 10]},
        train={**training, "max_tokens": 1600},
    )
    unilatent("train", "tokenizer.yaml", "--output", "tokenizer")
    unilatent("encode", "corpus/train.jsonl", "--tokenizer", "tokenizer", "--output", "latents", "--device", "cpu")

    small = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "num_kv_heads": 1, "intermediate_size": 16}
    write_yaml(
        Path("voice.yaml"),
        task={"name": "speech_synthesis", "train": "latents", "valid": "latents", "voice_prompt_prob": 0.5},
        model={"name": "latent_lm", **small, "max_positions": 1000, "head": {"num_layers": 1, "timestep_size": 8}},
        criterion={"name": "next_token_diffusion"},
        train={**training, "max_tokens": 800},
    )
    unilatent("train", "voice.yaml", "--output", "voice")

    for gone in ("clips", "latents", "tokenizer"):  # a voice needs nothing but its folder
        shutil.rmtree(gone)
    fast = ["decoder.num_inference_steps=2", "--device", "cpu"]
    unilatent("synthesize", "voice", *fast, "--text", "Good morning.", "--speaker", "ann", "--output", "hello.flac")
    assert audio_info("hello.flac").sample_rate == RATE
    assert "Synthetic speech" in read_tags("hello.flac")["comment"]

    Path("lines.jsonl").write_text(
        '{"id": "a", "text": "Two", "speaker": "bob"}\n{"id": "b", "text": "", "speaker": "bob"}\n'
    )
    unilatent("synthesize", "voice", *fast, "--input", "lines.jsonl", "--output", "spoken")
    assert [json.loads(line)["id"] for line in Path("spoken/manifest.jsonl").read_text().splitlines()] == ["a"]
    assert "empty" in Path("spoken/errors.jsonl").read_text()

    Path("play.txt").write_text("Speaker 1: Good day.\nbob: So.\n")
    unilatent("synthesize", "voice", *fast, "--script", "play.txt", "--output", "play.ogg", "--no-picture")
    assert audio_info("play.ogg").num_samples > 0
    assert "1 file, real-time factor" in capsys.readouterr().err
