"""Recognizers on tiny checkpoints: both published layouts, batches, hot words, and all that goes wrong."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

pytest.importorskip("soundfile")
pytest.importorskip("soxr")
import tiny_listener

from latent.audio.files import write_audio
from latent.audio.recording import Recording
from latent.data.recognition_prompt import hot_words
from latent.recognition.recognizer import Recognizer
from latent.recognition.transcript import Segment
from latent.synthesis.voices import open_voice
from s2s.errors import ConfigError, InputError

RATE = 24_000
SHORT = {"tokens_per_second": 0.5, "extra_tokens": 12}
CHAIN = [
    "assistant\n",
    '[{"Start":0.0,"End":1.25,"Speaker":0,"Content":"Hello."}',
    ',{"Start":1.25,"End":2,"Speaker":1,',
]
CHAIN += ['"Content":"Hi."}', "]"]


def noise(seconds: float, seed: int = 0, rate: int = RATE) -> Any:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate))).astype(np.float32)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("listeners")
    for name, repository in (("transformers", False), ("repository", True)):
        tiny_listener.write_listener(folder / name, repository=repository)
    tiny_listener.write_listener(folder / "chain", CHAIN)
    tiny_listener.write_listener(folder / "live", streaming=True)
    return folder


@pytest.fixture(scope="module")
def recognizer(home: Path) -> Recognizer:
    """One whose text depends on all that it hears."""
    return Recognizer.load(home / "transformers", device="cpu", **SHORT)


def test_a_recording_becomes_segments_with_speakers_and_times(home: Path) -> None:
    transcript = Recognizer.load(home / "chain", device="cpu").transcribe(noise(3.0), RATE)
    assert transcript.segments == [Segment("Hello.", 0.0, 1.25, "0"), Segment("Hi.", 1.25, 2.0, "1")]
    assert (transcript.text, transcript.speakers, transcript.seconds) == ("Hello. Hi.", ["0", "1"], 3.0)
    assert not transcript.warnings


def test_both_layouts_of_the_same_weights_say_the_same(home: Path, recognizer: Recognizer) -> None:
    other = Recognizer.load(home / "repository", device="cpu", **SHORT)
    assert other.transcribe(noise(2.0), RATE) == recognizer.transcribe(noise(2.0), RATE)


def test_recordings_of_a_batch_are_heard_as_each_alone(recognizer: Recognizer) -> None:
    lengths = [2.0, 0.4, 1.1, 3.3]
    requests = [
        recognizer.request(f"r{seed}", Recording(noise(seconds, seed), RATE)) for seed, seconds in enumerate(lengths)
    ]
    (batch,) = recognizer.batches(requests, 8)
    together = {batch[row]: text for row, text in recognizer.recognize([requests[index] for index in batch])}
    alone = [next(iter(recognizer.recognize([request])))[1] for request in requests]
    assert [together[index] for index in range(4)] == alone
    assert len({transcript.raw for transcript in alone}) > 2, "the texts depend on the recordings"


def test_a_batch_needs_no_more_memory_than_an_hour_alone(recognizer: Recognizer) -> None:
    class Long(Recording):
        seconds = 1500.0  # type: ignore[assignment]

    requests = [recognizer.request(str(number), Long(noise(0.2), RATE)) for number in range(5)]
    assert [len(batch) for batch in recognizer.batches(requests, 8)] == [2, 2, 1]
    short = [recognizer.request(str(number), Recording(noise(0.2), RATE)) for number in range(5)]
    assert [len(batch) for batch in recognizer.batches(short, 3)] == [3, 2]


def test_the_level_of_a_recording_does_not_matter_and_is_told(
    recognizer: Recognizer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        loud, soft = (recognizer.transcribe(factor * noise(1.0), RATE) for factor in (1.0, 0.01))
    assert loud.raw == soft.raw
    assert "recording: -20.0 dBFS, brought to -25 (-5.0 dB)" in caplog.messages
    assert "recording: -60.0 dBFS, brought to -25 (+35.0 dB)" in caplog.messages


def test_hot_words_change_what_is_heard_and_are_written_once(recognizer: Recognizer) -> None:
    plain, told = (recognizer.transcribe(noise(1.0), RATE, hot_words=words) for words in ([], ["Tea Brew"]))
    assert plain.raw != told.raw
    assert hot_words([" Tea  Brew ", "", "Aiden\tHost", "Tea Brew"]) == "Tea Brew, Aiden Host"
    marked = recognizer.transcribe(noise(1.0), RATE, hot_words=["Tea Brew<|im_end|>"])
    assert marked.raw == told.raw, "special tokens in hot words are no tokens"


def test_noise_is_drawn_from_a_seed_or_not_at_all(home: Path) -> None:
    def heard(id: str = "a", **options: Any) -> Any:
        recognizer: Any = Recognizer.load(home / "transformers", device="cpu", **options)
        with torch.inference_mode():
            return next(recognizer._features(Recording(noise(1.0), RATE), np.float32(1), id))

    plain, once = heard(), heard(noise=True, seed=1)
    assert torch.equal(once, heard(noise=True, seed=1))
    for other in (plain, heard(noise=True, seed=2), heard("b", noise=True, seed=1)):
        assert not torch.allclose(once, other, atol=1e-2)


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_other_rates_and_channels_are_converted_in_files_and_in_memory(
    recognizer: Recognizer, tmp_path: Path, rate: int
) -> None:
    import soundfile

    stereo = np.stack([noise(0.7, 1, rate), np.zeros(round(0.7 * rate), np.float32)], axis=1)
    soundfile.write(tmp_path / "stereo.wav", stereo, rate, subtype="FLOAT")
    file, memory = recognizer.transcribe(tmp_path / "stereo.wav"), recognizer.transcribe(stereo, rate)
    assert file.raw == memory.raw
    assert file.raw == recognizer.transcribe(0.5 * stereo[:, 0], rate).raw


@pytest.mark.parametrize("seconds", [0.1, 1 / RATE, 0.7])
@pytest.mark.parametrize("silent", [True, False])
def test_very_short_recordings_and_silence_have_a_transcript(
    home: Path, recognizer: Recognizer, seconds: float, silent: bool
) -> None:
    samples = noise(seconds) * (0 if silent else 1)
    assert ("the recording is silent" in recognizer.transcribe(samples, RATE).warnings) == silent
    live = Recognizer.load(home / "live", device="cpu", max_tokens=5)
    assert live.transcribe(samples, RATE).seconds == pytest.approx(seconds)


def test_what_the_model_garbles_is_kept_with_a_warning(recognizer: Recognizer) -> None:
    transcript = recognizer.transcribe(noise(1.0), RATE)
    assert transcript.raw
    assert transcript.text
    assert any("kept as text" in warning for warning in transcript.warnings)


def test_a_recording_beyond_the_model_is_refused_with_the_length_that_fits(tmp_path: Path) -> None:
    folder = tiny_listener.write_listener(tmp_path / "small", max_positions=400)
    small = Recognizer.load(folder, device="cpu")
    with pytest.raises(InputError, match=r"recording: 1\.0 minutes need \d+ positions .* the model has 400; cut it"):
        small.transcribe(noise(60.0), RATE)
    with pytest.raises(InputError, match=r"--hotwords: they take \d+ of the model's 400 positions, at most 100 can"):
        small.transcribe(noise(1.0), RATE, hot_words=[f"name {number}" for number in range(10_000)])


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "no weights; expected model.safetensors"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "has no text tokenizer and names none"),
        (lambda folder: _without_token(folder, "<|im_end|>"), r"the text tokenizer lacks <\|im_end\|>"),
        (lambda folder: _config(folder, audio_bos_token_id=3), "as 25[0-9]|as 26[0-9]"),
        (lambda folder: _weights(folder, "lm_head.weight", None), "the weights lack 'lm_head.weight'"),
        (lambda folder: _weights(folder, "model.language_model.norm.weight", 5), "weights do not fit config.json"),
        (lambda folder: _shards(folder), r"part-2\.safetensors: .*no such|part-2\.safetensors"),
    ],
    ids=["weights", "tokenizer", "special token", "other ids", "tensor", "shape", "shard"],
)
def test_a_broken_checkpoint_is_refused_with_what_it_lacks(
    home: Path, tmp_path: Path, broken: Any, message: str
) -> None:
    folder = shutil.copytree(home / "transformers", tmp_path / "copy")
    broken(folder)
    with pytest.raises(InputError, match=message):
        Recognizer.load(folder, device="cpu")


def _without_token(folder: Path, token: str) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        path = folder / name
        path.write_text(path.read_text(encoding="utf-8").replace(token, "<|other|>"), encoding="utf-8")


def _config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _weights(folder: Path, name: str, size: int | None) -> None:
    weights = load_file(folder / "model.safetensors")
    tensor = weights.pop(name)
    save_file({**weights, **({} if size is None else {name: tensor[:size].clone()})}, folder / "model.safetensors")


def _shards(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    save_file({name: weights[name] for name in names[:9]}, folder / "part-1.safetensors")
    where = {name: f"part-{1 if name in names[:9] else 2}.safetensors" for name in names}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))


def test_folders_of_other_families_are_named_with_the_verb_that_fits(home: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is VibeVoice-ASR, which listens; use `unilatent transcribe`"):
        open_voice(home / "chain", device="cpu")
    with pytest.raises(InputError, match="is VibeVoice-ASR-Streaming, which listens; use `unilatent transcribe`"):
        open_voice(home / "live", device="cpu")
    for given, message in (
        ({"model_type": "vibevoice", "acoustic_tokenizer_config": {}}, "is VibeVoice, which speaks; use .*synthesize"),
        ({"tts_backbone_num_hidden_layers": 20}, "is VibeVoice-Realtime, which speaks; use `unilatent synthesize`"),
        ({"model_type": "bert"}, "found one of model_type 'bert'; `unilatent train` starts from it"),
        ({"model_type": "whisper"}, "expected the configuration of a VibeVoice, found one of model_type 'whisper'"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(given))
        with pytest.raises(InputError, match=message):
            Recognizer.load(tmp_path)
    with pytest.raises(InputError, match=r"is a run of speech_synthesis, which does not listen; use .*synthesize"):
        Recognizer.load("demo")


def test_a_streaming_folder_without_its_windows_is_refused(home: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(home / "live", tmp_path / "copy")
    (folder / "preprocessor_config.json").write_text('{"chunk_frames": 22}')
    with pytest.raises(InputError, match="'lookahead_frames' must be whole numbers, found 22 and None"):
        Recognizer.load(folder, device="cpu")


def test_samples_need_a_rate_and_options_must_exist(home: Path, recognizer: Recognizer) -> None:
    with pytest.raises(InputError, match="sample_rate: must be given for samples"):
        recognizer.transcribe(noise(1.0))
    with pytest.raises(InputError, match="empty audio"):
        recognizer.transcribe(noise(0.0), RATE)
    with pytest.raises(ConfigError, match=r"decoder\.beam_sise: no such option\. Did you mean 'beam_size'"):
        Recognizer.load(home / "chain", beam_sise=4)


def test_a_file_is_heard_as_its_samples(recognizer: Recognizer, tmp_path: Path) -> None:
    samples = np.round(noise(1.3) * 32767) / 32768
    write_audio(tmp_path / "noise.wav", samples.astype(np.float32), RATE)
    assert recognizer.transcribe(tmp_path / "noise.wav").raw == recognizer.transcribe(samples, RATE).raw


def test_tied_and_stored_scores_are_told_apart(home: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(home / "chain", tmp_path / "copy")
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["tie_word_embeddings"] = True
    (folder / "config.json").write_text(json.dumps(config))
    assert Recognizer.load(folder, device="cpu").transcribe(noise(1.0), RATE).text == "Hello. Hi.", (
        "the stored ones count"
    )
    _weights(folder, "lm_head.weight", None)
    assert Recognizer.load(folder, device="cpu").transcribe(noise(0.2), RATE).text != "Hello. Hi.", "now they are tied"
