"""From recordings to a trained tokenizer, through the run of the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("soundfile")

from latent.audio.files import write_audio
from latent.audio_tokenizer import load_tokenizer
from latent.models.sigma_vae import SigmaVAE
from latent.tasks.speech_autoencoding import SpeechAutoencoding
from s2s.checkpoint import WEIGHTS, read_tensors
from s2s.errors import ConfigError
from s2s.run import RunConfig, build_model, parse_config, read_run, train_run


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Three recordings of 0.5, 0.2 and 0.05 seconds; the second has another rate."""
    lines = []
    for index, (seconds, rate) in enumerate([(0.5, 2000), (0.2, 4000), (0.05, 2000)]):
        time = np.arange(int(seconds * rate)) / rate
        name = f"tone-{index}.wav"
        write_audio(tmp_path / name, np.sin(2 * np.pi * 200 * time).astype(np.float32) * 0.5, rate)
        lines.append(json.dumps({"id": name, "audio": name, "seconds": seconds, "text": "a tone"}))
    path = tmp_path / "manifest.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def task(manifest: Path, **options: object) -> SpeechAutoencoding:
    values = {"train": str(manifest), "valid": str(manifest), "sample_rate": 2000, "segment_seconds": 0.1}
    return SpeechAutoencoding(SpeechAutoencoding.Config(**(values | options)))


def test_segments_are_of_one_length_and_padded_at_the_end(manifest: Path) -> None:
    dataset = task(manifest).dataset("train", seed=1)
    segments = [dataset.example(index, 0) for index in range(len(dataset))]
    assert {len(segment.samples) for segment in segments} == {200}
    assert not segments[-1].samples[100:].any()
    assert segments[-1].samples[:100].any()
    assert segments[-2].samples.std() > 0.3, "a recording of another rate is resampled"


def test_a_long_recording_gives_as_many_segments_as_it_holds(manifest: Path) -> None:
    dataset = task(manifest).dataset("train", seed=1)
    segments = [dataset.example(index, 0) for index in range(len(dataset))]
    assert [segment.id for segment in segments] == ["tone-0.wav"] * 5 + ["tone-1.wav"] * 2 + ["tone-2.wav"]
    assert not np.array_equal(segments[0].samples, segments[1].samples)
    assert len(dataset.lengths) == len(dataset)


def test_segments_depend_on_seed_epoch_and_index_alone(manifest: Path) -> None:
    first, again = (task(manifest).dataset("train", seed=1) for _ in range(2))
    assert np.array_equal(first.example(0, 3).samples, again.example(0, 3).samples)
    assert not np.array_equal(first.example(0, 3).samples, first.example(0, 4).samples)
    valid = task(manifest).dataset("valid", seed=1)
    assert np.array_equal(valid.example(0, 3).samples, valid.example(0, 4).samples)


def test_a_batch_holds_mono_segments(manifest: Path) -> None:
    whole = task(manifest)
    dataset = whole.dataset("train", seed=1)
    batch = whole.collate([dataset.example(index, 0) for index in (0, len(dataset) - 1)])
    assert batch.audio.shape == (2, 1, 200)
    assert batch.ids == ["tone-0.wav", "tone-2.wav"]
    assert (batch.sample_rate, batch.num_tokens) == (2000, 400)


def test_the_sample_rate_of_model_and_task_must_agree(manifest: Path) -> None:
    told = task(manifest).model_defaults()
    assert SigmaVAE.resolve(SigmaVAE.Config(), told).sample_rate == 2000
    with pytest.raises(ConfigError, match=r"model\.sample_rate: must be 2000 as in the task's data, found 8000"):
        SigmaVAE.resolve(SigmaVAE.Config(sample_rate=8000), told)


def tiny_run(manifest: Path, valid: bool = True, **model: object) -> RunConfig:
    return parse_config(
        {
            "task": {
                "name": "speech_autoencoding",
                "train": str(manifest),
                "valid": str(manifest) if valid else None,
                "sample_rate": 2000,
                "segment_seconds": 0.1,
            },
            "model": {
                "name": "sigma_vae",
                "ratios": [2, 4],
                "depths": [1, 1, 1],
                "widths": [4, 6, 8],
                "latent_size": 4,
                "layer_scale": 0.3,
                **model,
            },
            "criterion": {
                "name": "sigma_vae",
                "mel_windows": [32],
                "mel_bins": [5],
                "periods": [2],
                "period_widths": [4, 4],
                "spectrum_windows": [64],
                "spectrum_width": 2,
            },
            "optim": {"lr": 1e-3},
            "train": {"max_steps": 3, "max_tokens": 600, "workers": 0, "device": "cpu", "ema_decay": 0.9},
        }
    )


def test_a_tokenizer_is_trained_into_a_run_folder(manifest: Path, tmp_path: Path) -> None:
    config = tiny_run(manifest)
    result = train_run(config, tmp_path / "run")
    assert result.step == 3
    assert result.best is not None
    saved = read_run(tmp_path / "run")
    assert saved.model.config.sample_rate == 2000
    model = build_model(saved)
    assert torch.isfinite(model.decode(model.encode(torch.zeros(1, 1, 16)))).all()


def test_without_recordings_to_validate_with_the_last_weights_are_kept(manifest: Path, tmp_path: Path) -> None:
    result = train_run(tiny_run(manifest, valid=False), tmp_path / "run")
    assert (result.step, result.best) == (3, None)
    last = read_tensors(tmp_path / "run/checkpoints/step-000003" / WEIGHTS)
    kept = read_tensors(tmp_path / "run" / WEIGHTS)
    assert all(torch.equal(tensor, last[name]) for name, tensor in kept.items())


def test_a_decoder_goes_on_learning_for_latents_that_stay_as_they_are(manifest: Path, tmp_path: Path) -> None:
    train_run(tiny_run(manifest), tmp_path / "first")
    train_run(tiny_run(manifest, init=str(tmp_path / "first"), freeze_encoder=True), tmp_path / "second")
    first, second = (load_tokenizer(tmp_path / run) for run in ("first", "second"))
    audio = torch.randn(1, 1, 40)
    mean = first.encode(audio)
    assert torch.equal(second.encode(audio), mean)
    assert not torch.equal(second.decode(mean), first.decode(mean))
