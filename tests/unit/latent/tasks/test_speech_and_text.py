"""One LatentLM speaks and listens: what both directions hold, and that a run of both is learned by heart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_voice import RATE, tokenizer_config, voice_config, write_run

from latent.audio.files import write_audio
from latent.audio.recording import Recording
from latent.data.latent_store import Latents, LatentStore
from latent.data.vocabulary import LATENT, SPEECH_END, SPEECH_START
from latent.encoding import encode_corpus
from latent.recognition.recognizer import Recognizer
from latent.synthesis.voices import open_voice
from latent.tasks.speech_and_text import SpeechAndText
from latent.text.byte_text import ByteFrontEnd
from latent.text.characters import CharacterFrontEnd
from s2s.errors import ConfigError, InputError
from s2s.run import parse_config, train_run

pytest.importorskip("soundfile")
pytest.importorskip("soxr")

TEXTS = ["low", "higher", "top note", "a beat"]


def tones(folder: Path) -> Path:
    """Four recordings that anybody can tell from each other, and that fade away, so that their ends can be told."""
    folder.mkdir()
    lines = []
    for number, (text, pitch) in enumerate(zip(TEXTS, [60, 170, 420, 800], strict=True)):
        time = np.arange(400 + 60 * number) / RATE
        wave = 0.5 * np.sin(2 * np.pi * pitch * time) * (1 - time / time[-1])
        write_audio(folder / f"{number}.wav", wave.astype(np.float32), RATE)
        lines.append(json.dumps({"id": str(number), "audio": f"{number}.wav", "text": text, "speaker": "ann"}))
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    return folder / "manifest.jsonl"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with recordings, a tokenizer with random weights, and a store."""
    folder = tmp_path_factory.mktemp("both")
    manifest = tones(folder / "recordings")
    write_run(tokenizer_config(manifest, std=0.05), folder / "tokenizer")
    encode_corpus([manifest], folder / "tokenizer", folder / "store")
    return folder


def config(home: Path, **task: Any) -> dict[str, Any]:
    store = str(home / "store")
    given = {"name": "speech_and_text", "train": store, "valid": store, "front_end": {"name": "characters"}, **task}
    sizes = {"hidden_size": 64, "num_layers": 2, "num_heads": 4, "num_kv_heads": 2, "intermediate_size": 128}
    return {
        "task": {**given, "condition_dropout": 0.0},
        "model": {**sizes, "max_positions": 400, "rope_theta": 1000.0, "head": {"num_layers": 2, "timestep_size": 32}},
        "optim": {"lr": 4e-3, "schedule": "cosine", "warmup_steps": 20},
        "train": {"max_steps": 300, "max_tokens": 1000, "validate_every": 300, "device": "cpu", "loggers": []},
        "decoder": {"guidance_scale": 1.0},
    }


def test_each_recording_is_said_and_heard_and_only_what_is_said_is_drawn(home: Path) -> None:
    given = parse_config(config(home)).task.config
    task, store = SpeechAndText(given), LatentStore(home / "store")
    data = task.dataset("train", 1)
    assert len(data) == 8
    said, heard = data.example(1, 0), data.example(5, 0)
    frames, text = store.utterances[1].frames, task.vocabulary.text("higher")
    spoken = [LATENT] * frames
    assert said.tokens[-frames - 2 :] == [SPEECH_START, *spoken, SPEECH_END]
    assert heard.tokens == [SPEECH_START, *spoken, SPEECH_END, *text, SPEECH_START]
    assert task.vocabulary.written(text) == "higher"
    assert [len(data.example(index, 0).tokens) for index in range(8)] == pytest.approx(data.lengths.tolist(), abs=1)
    batch, width = task.collate([said, heard]), max(len(said.tokens), len(heard.tokens))
    second = batch.slots >= width
    assert batch.labels[~second].tolist() == [*spoken, SPEECH_END]
    assert batch.labels[second].tolist() == [*text, SPEECH_START]
    assert batch.predicted.tolist() == list(range(frames))
    assert np.array_equal(data.example(5, 3).latents, data.example(5, 3).latents)
    assert not np.array_equal(data.example(5, 3).latents, heard.latents), "each epoch has noise of its own"


def distance(latents: Latents, others: Latents) -> float:
    """Mean square of the difference, as far as both go."""
    count = min(len(latents), len(others))
    return float(np.square(latents[:count] - others[:count]).mean())


@pytest.fixture(scope="module")
def run(home: Path) -> Path:
    """The run that learns both by heart."""
    train_run(parse_config(config(home)), home / "run")
    return home / "run"


def test_one_run_writes_down_what_it_hears_and_says_what_it_reads(home: Path, run: Path) -> None:
    recognizer = Recognizer.load(run, device="cpu")
    paths = [home / f"recordings/{number}.wav" for number in range(4)]
    assert [recognizer.transcribe(path).text for path in paths] == TEXTS
    assert Recognizer.load(run, device="cpu", beam_size=3).transcribe(paths[2]).text == TEXTS[2]
    voice, store = open_voice(run, device="cpu"), LatentStore(home / "store")
    for number, text in enumerate(TEXTS):
        request = voice.request("x", text, seed=3, temperature=0.3)
        chunks = [chunk.frames[0] for chunk in voice.generate([request], 8) if chunk.frames is not None]
        latents = torch.cat(chunks).numpy()
        assert abs(len(latents) - store.utterances[number].frames) <= 3
        distances = [distance(latents, store.mean(other)) for other in range(4)]
        assert int(np.argmin(distances)) == number, distances
        assert distances[number] < 0.05 * sorted(distances)[1], "much nearer than the next one"


def test_a_recording_has_the_same_text_beside_others(home: Path, run: Path) -> None:
    recognizer = Recognizer.load(run, device="cpu")
    requests = [recognizer.request(str(n), Recording(home / f"recordings/{n}.wav")) for n in range(4)]
    assert [transcript.text for _, transcript in sorted(recognizer.recognize(requests))] == TEXTS
    silence = recognizer.transcribe(np.zeros(RATE // 10, np.float32), RATE)
    assert set(silence.text) <= set(" ".join(TEXTS)), "no tokens but those of text"
    with pytest.raises(InputError, match=r"run hears at most \d+\.\d s; cut it in silence"):
        recognizer.transcribe(np.zeros(RATE * 60, np.float32), RATE)
    with pytest.raises(InputError, match=r"run: knows no hot words"):
        recognizer.transcribe(np.zeros(RATE, np.float32), RATE, hot_words=["Tea"])


def test_what_cannot_be_learned_both_ways_is_refused(home: Path, tmp_path: Path) -> None:
    for name, value in {"cues": {}, "fixed_text_length": 48}.items():
        with pytest.raises(ConfigError, match=rf"task\.{name}: must be left out, a model that listens too has none"):
            SpeechAndText(parse_config(config(home, **{name: value})).task.config)
    dictionary = tmp_path / "words.txt"
    dictionary.write_text("low L OW\nhigher HH AY ER\ntop T AA P\nnote N OW T\na AH\nbeat B IY T\n")
    phonemes = {"name": "phonemes", "file": str(dictionary)}
    with pytest.raises(ConfigError, match=r"task\.front_end\.name: its tokens must be text, .* 'phonemes' are not"):
        SpeechAndText(parse_config(config(home, front_end=phonemes)).task.config)
    run = write_run(voice_config(home / "store"), tmp_path / "voice")
    with pytest.raises(InputError, match=r"is a run of speech_synthesis, which does not listen; use `unilatent synth"):
        Recognizer.load(run, device="cpu")


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=20))
def test_tokens_of_text_are_turned_back_into_it(text: str) -> None:
    for front_end in (ByteFrontEnd(), CharacterFrontEnd.learn([text], None)):
        kept = text.casefold() if front_end.name == "characters" else text
        assert front_end.text(front_end.tokens(text)) == kept
    assert ByteFrontEnd().text("é".encode()[:1]) == "�", "half a character"
