"""A VibeVoice fine-tuned on six recordings of two people until it says them by heart, each in the voice it was told.

This tests that nothing is lost between recordings, encoders, training, adapters and synthesis, not how good a voice is.
The checkpoint is tiny: its audio tokenizer is trained here first, its language model is random. So few updates do not
teach it where to stop; it speaks as long as the recording. Voices are whole recordings, in training and afterwards.
Four minutes of a CPU: `pytest -m slow`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_checkpoint import settings, write_byte_tokenizer

pytest.importorskip("soundfile")
pytest.importorskip("soxr")

from safetensors.torch import save_file

from eval.waveform import mel_distance
from latent.audio.files import load_audio
from latent.audio.levels import normalize_loudness
from latent.audio.resampling import resample
from latent.audio_tokenizer import encode_samples, load_tokenizer
from latent.data.latent_store import LatentStore
from latent.data.manifest import Utterance, read_manifest
from latent.encoding import encode_corpus
from latent.models.checkpoints import vibevoice_config, vibevoice_state
from latent.models.sigma_vae import SigmaVAE
from latent.synthesis.voices import open_voice
from s2s.run import parse_config, train_run

ALLISON = Path(__file__).parents[2] / "data_prep" / "sample" / "speech" / "train.jsonl"
JUNE = Path(__file__).parent / "data" / "june" / "manifest.jsonl"
RATE, SECONDS, STD = 24_000, (1.0, 2.0), 0.1

CODEC: dict[str, Any] = {
    "downsampling_ratios": [5, 8, 12],
    "depths": [0, 0, 1, 2],
    "num_filters": 24,
    "hidden_size": 16,
    "vae_std": STD / 0.8,
}
TOKENIZER: dict[str, Any] = {
    "task": {"name": "speech_autoencoding", "sample_rate": RATE, "segment_seconds": 0.8},
    "model": {
        "name": "sigma_vae",
        "ratios": CODEC["downsampling_ratios"],
        "depths": CODEC["depths"],
        "widths": [24, 48, 96, 192],
        "latent_size": 16,
        "expansion": 2,
        "layer_scale": 0.1,
        "initializer_range": None,
        "std": STD,
    },
    "criterion": {
        "name": "sigma_vae_spectra",
        "mel_windows": [128, 512, 2048],
        "mel_bins": [10, 40, 80],
        "mel_floor": 1e-4,
    },
    "optim": {"lr": 3e-3, "betas": [0.8, 0.99], "schedule": "cosine", "warmup_steps": 50, "weight_decay": 0},
    "train": {"max_steps": 350, "max_tokens": 19200 * 4, "validate_every": 350, "ema_decay": 0.99, "log_every": 100},
}
TUNING: dict[str, Any] = {
    "task": {"name": "vibevoice_synthesis", "voice_frames": 100, "min_voice_frames": 100, "condition_dropout": 0},
    "model": {"adapters": {"rank": 32, "alpha": 64, "full": ["head", "connector", "semantic_connector"]}},
    "criterion": {"noise_draws": 4},
    "optim": {"lr": 3e-3, "betas": [0.9, 0.98], "schedule": "cosine", "warmup_steps": 50},
    "train": {"max_steps": 400, "max_tokens": 8192, "validate_every": 400, "ema_decay": 0.99, "log_every": 100},
    "decoder": {"guidance_scale": 1.0},
}


def trained(recipe: dict[str, Any], data: Path, run: Path, **model: Any) -> Path:
    tree = dict(recipe)
    tree["task"] = recipe["task"] | {"train": str(data), "valid": str(data)}
    tree["model"] = recipe["model"] | model
    tree["train"] = recipe["train"] | {"device": "cpu", "loggers": []}
    train_run(parse_config(tree), run)
    return run


def six_recordings(folder: Path) -> Path:
    """A manifest of three short clips of each person."""
    allison = [clip for clip in read_manifest(ALLISON) if SECONDS[0] <= clip.seconds <= SECONDS[1]][:3]
    names = ("id", "text", "speaker", "language", "seconds")
    lines = []
    for clip in [*allison, *read_manifest(JUNE)]:
        shutil.copy(clip.audio, folder)  # notes of consent are written beside recordings
        lines.append({name: getattr(clip, name) for name in names} | {"audio": clip.audio.name})
    path = folder / "six.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def write_base(folder: Path, codec: SigmaVAE, clips: list[Utterance]) -> Path:
    """A checkpoint with a trained audio tokenizer and the statistics of its latents; all else is random.

    Its semantic encoder stays as it was initialized, and gives hardly anything. A random one that is strong enough to
    be heard does harm: of a recording and of the tokenizer's copy of it, it gives features that have nothing in common
    (relative differences of 1.03 to 1.18). The language model would lean on them in training, and lose its way when it
    hears itself. A trained one hears words, which the copy has too.
    """
    import transformers

    sizes = {"hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2}
    given = settings(**sizes, intermediate_size=256, max_position_embeddings=1024)
    for part in ("audio_config", "semantic_model_config"):
        given[part] |= CODEC | {"hidden_size": CODEC["hidden_size"] if part == "audio_config" else 8}
    given["diffusion_head_config"] |= {"intermediate_size": 256, "num_hidden_layers": 3}
    torch.manual_seed(0)
    config = transformers.VibeVoiceConfig(**given)
    weights = transformers.VibeVoiceForConditionalGeneration(config).state_dict()
    ours = vibevoice_state(weights, vibevoice_config(config.to_dict(), "config.json"))
    for name, tensor in codec.state_dict().items():  # the same tensors under our names
        ours[f"acoustic.{name}"].copy_(tensor)
    folder.mkdir()
    kept = {name: tensor.clone() for name, tensor in weights.items() if name != "lm_head.weight"}
    means = torch.cat([encode_samples(codec, heard(clip), "cpu") for clip in clips])
    kept["model.latent_scaling_factor"] = 1 / (means.var() + (STD / 0.8) ** 2).sqrt()
    kept["model.latent_bias_factor"] = -means.mean()
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config.to_dict(), default=str), encoding="utf-8")
    write_byte_tokenizer(folder)
    return folder


def heard(clip: Utterance) -> Any:
    """The recording at the loudness of VibeVoice."""
    return normalize_loudness(load_audio(clip.audio, RATE))


def distance(samples: Any, clip: Utterance) -> float:
    """Mel distance to the recording, frame by frame: other words, or another voice, are far away."""
    found, recording = (resample(sound, RATE, 16000) for sound in (np.clip(samples, -1, 1), heard(clip)))
    return mel_distance(found, recording, aligned=True)


@pytest.mark.slow
def test_two_people_say_six_recordings_as_the_tokenizer_gives_them_back(tmp_path: Path) -> None:
    manifest = six_recordings(tmp_path)
    clips = read_manifest(manifest)
    codec = load_tokenizer(trained(TOKENIZER, manifest, tmp_path / "tokenizer"))
    base = write_base(tmp_path / "base", codec, clips)
    encode_corpus([manifest], base, tmp_path / "store")
    store = LatentStore(tmp_path / "store")
    run = trained(TUNING, tmp_path / "store", tmp_path / "run", init=str(base))
    torch.manual_seed(0)
    returned, said, others = [], [], []
    for index, clip in enumerate(clips):
        with torch.inference_mode():
            latents = codec.sample(torch.from_numpy(store.mean(index)).unsqueeze(0))
            returned.append(distance(codec.decode(latents)[0, 0].numpy(), clip))
        seconds = store.utterances[index].frames * store.facts.hop_length / RATE
        limits = ["decoder.temperature=0.8", f"decoder.max_seconds={seconds}"]
        voice = open_voice(run, device="cpu", overrides=limits)
        other = next(one for one in clips if one.speaker == clip.speaker and one.id != clip.id)
        request = voice.request(clip.id, clip.text, prompt=voice.prompt(other.audio, consent=True), seed=1)
        samples = voice.say(request).samples
        said.append(distance(samples, clip))
        others.append(np.mean([distance(samples, one) for one in clips if one.id != clip.id]))
    means = [float(np.mean(distances)) for distances in (returned, said, others)]
    print("mel distance: reconstruction {:.3f}, synthesis {:.3f}, to other recordings {:.3f}".format(*means))
    assert means[0] < 0.6, "the tokenizer has learned the recordings"
    assert means[1] <= 1.3 * means[0]
    assert means[1] < 0.8 * means[2], "it says these words, in this voice"
