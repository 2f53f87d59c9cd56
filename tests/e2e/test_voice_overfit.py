"""Ten recordings of a person learned by heart: the whole chain, from audio files to what a voice says.

This tests that nothing is lost between the parts, not how good a voice is. Minutes on a CPU: `pytest -m slow`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("soundfile")

from eval.waveform import mel_distance
from latent.audio.files import load_audio
from latent.audio.resampling import resample
from latent.audio_tokenizer import encode_samples, load_tokenizer
from latent.data.manifest import Utterance, read_manifest
from latent.encoding import encode_corpus
from latent.synthesis.voices import open_voice
from s2s.run import parse_config, train_run

SAMPLE = Path(__file__).parents[2] / "data_prep" / "sample" / "speech"
RATE, CLIPS, SECONDS = 8000, 10, (1.0, 2.2)

TOKENIZER: dict[str, Any] = {
    "task": {"name": "speech_autoencoding", "sample_rate": RATE, "segment_seconds": 0.8},
    "model": {
        "name": "sigma_vae",
        "window": 320,
        "ratios": [80, 8],
        "depths": [0, 2, 1],
        "decoder_depths": [1, 2, 0],
        "widths": [1, 96, 128],
        "latent_size": 16,
        "layer_scale": 0.1,
        "initializer_range": None,
        "std": 0.1,
    },
    "criterion": {
        "name": "sigma_vae_spectra",
        "mel_windows": [64, 256, 1024],
        "mel_bins": [10, 32, 80],
        "mel_floor": 1e-4,
    },
    "optim": {"lr": 2e-3, "betas": [0.8, 0.99], "schedule": "cosine", "warmup_steps": 50, "weight_decay": 0},
    "train": {"max_steps": 600, "max_tokens": 6400 * 6, "validate_every": 600, "ema_decay": 0.99, "log_every": 100},
}
LATENT_LM: dict[str, Any] = {
    "task": {
        "name": "speech_synthesis",
        "front_end": {"name": "characters"},
        "condition_dropout": 0,
        "fixed_text_length": 48,
    },
    "model": {
        "name": "latent_lm",
        "hidden_size": 128,
        "num_layers": 3,
        "num_heads": 4,
        "num_kv_heads": 2,
        "intermediate_size": 256,
        "rope_theta": 1000.0,
        "max_positions": 512,
        "head": {"num_layers": 3, "intermediate_size": 256, "timestep_size": 64},
    },
    "criterion": {"name": "next_token_diffusion", "noise_draws": 8},
    "optim": {"lr": 2e-3, "betas": [0.9, 0.98], "schedule": "cosine", "warmup_steps": 50},
    "train": {"max_steps": 1200, "max_tokens": 4096, "validate_every": 1200, "ema_decay": 0.99, "log_every": 100},
    "decoder": {"name": "next_token_diffusion", "guidance_scale": 1.0},
}


def trained(recipe: dict[str, Any], data: Path, run: Path) -> Path:
    tree = dict(recipe)
    tree["task"] = recipe["task"] | {"train": str(data), "valid": str(data)}
    tree["train"] = recipe["train"] | {"device": "cpu"}
    train_run(parse_config(tree), run)
    return run


def ten_recordings(folder: Path) -> Path:
    """A manifest of the first short clips of the sample."""
    chosen = [clip for clip in read_manifest(SAMPLE / "train.jsonl") if SECONDS[0] <= clip.seconds <= SECONDS[1]]
    lines = [
        {"id": clip.id, "audio": str(clip.audio), "seconds": clip.seconds, "text": clip.text, "speaker": clip.speaker}
        for clip in chosen[:CLIPS]
    ]
    path = folder / "ten.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def distance(samples: torch.Tensor, clip: Utterance) -> float:
    """Mel distance to the recording, along the best path in time."""
    found, recording = samples.clamp(-1, 1).numpy(), load_audio(clip.audio, RATE)
    return mel_distance(resample(found, RATE, 16000), resample(recording, RATE, 16000), aligned=False)


@pytest.mark.slow
def test_a_voice_says_ten_recordings_as_its_tokenizer_gives_them_back(tmp_path: Path) -> None:
    manifest = ten_recordings(tmp_path)
    clips = read_manifest(manifest)
    codec_run = trained(TOKENIZER, manifest, tmp_path / "tokenizer")
    encode_corpus([manifest], codec_run, tmp_path / "latents")
    voice = open_voice(trained(LATENT_LM, tmp_path / "latents", tmp_path / "voice"))
    codec = load_tokenizer(codec_run)
    torch.manual_seed(0)
    returned, said = [], []
    with torch.inference_mode():
        for clip in clips:
            mean = encode_samples(codec, load_audio(clip.audio, RATE), torch.device("cpu"))
            returned.append(distance(codec.decode(codec.sample(mean.unsqueeze(0)))[0, 0], clip))
            request = voice.request(clip.id, clip.text, seed=1, temperature=0.8)
            said.append(distance(torch.from_numpy(voice.say(request).samples), clip))
    print(f"mel distance: reconstruction {np.mean(returned):.3f}, synthesis {np.mean(said):.3f}")
    assert np.mean(returned) < 0.35, "the tokenizer has learned the recordings"
    assert np.mean(said) <= 1.3 * np.mean(returned)
