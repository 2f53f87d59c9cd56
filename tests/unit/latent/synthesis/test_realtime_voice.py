"""VibeVoice-Realtime, on the golden case's weights: presets, text that is still being written, and what is refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_realtime
import torch
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.models.vibevoice_acoustic_tokenizer.configuration_vibevoice_acoustic_tokenizer import (
    VibeVoiceAcousticTokenizerEncoderConfig,
)
from transformers.models.vibevoice_acoustic_tokenizer.modeling_vibevoice_acoustic_tokenizer import (
    VibeVoiceAcousticTokenizerEncoderModel,
)
from typer.testing import CliRunner

from latent.audio.files import audio_info, load_audio, write_audio
from latent.synthesis.consent import NoConsent
from latent.synthesis.realtime_voice import RealtimeVoice
from latent.synthesis.voice import Voice
from latent.synthesis.voices import open_voice
from latent.text.front_end import NothingToSay
from s2s.errors import InputError
from unilatent.commands import speech
from unilatent.commands.convert import convert

pytest.importorskip("soundfile")
pytest.importorskip("soxr")

FAST = ["decoder.num_inference_steps=2"]
BRIEF = [*FAST, "decoder.max_seconds=0.005", "--device", "cpu"]


@pytest.fixture(scope="module")
def realtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_realtime.write_realtime(tmp_path_factory.mktemp("realtime") / "tiny-realtime")


@pytest.fixture(scope="module")
def voice(realtime: Path) -> Voice:
    windows = ["decoder.text_window=25", "decoder.speech_window=2", "decoder.max_seconds=0.007"]
    opened = open_voice(realtime, device="cpu", overrides=[*FAST, *windows])
    opened._model.stop[2].bias.fill_(-1e6)  # it speaks until it must stop
    return opened


@pytest.fixture(scope="module")
def preset(realtime: Path, voice: Voice) -> Any:
    return voice.prompt(realtime / "voice.safetensors")


def call(verb: Any, *arguments: object, stdin: bytes | None = None) -> Any:
    app = typer.Typer()
    app.command()(verb)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


TEXT = "It’s “fine”. <|image_pad|> Hello there,  you\n\nall! 12 of them... and so on"


@given(st.lists(st.integers(0, len(TEXT)), max_size=8))
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_text_in_pieces_gives_the_audio_of_text_at_once(voice: Voice, preset: Any, places: list[int]) -> None:
    ends = sorted(places)
    pieces = [TEXT[start:end] for start, end in zip([0, *ends], [*ends, len(TEXT)], strict=True)]
    at_once = voice.say(TEXT, prompt=preset, seed=3)
    np.testing.assert_array_equal(voice.say(pieces, prompt=preset, seed=3).samples, at_once.samples)
    assert at_once.seconds == pytest.approx(11 * 16 / 24_000)


def test_text_at_once_is_spoken_as_a_record_is(voice: Voice, preset: Any) -> None:
    request = voice.request("x", TEXT, prompt=preset, seed=3)
    np.testing.assert_array_equal(voice.say(request).samples, voice.say(TEXT, prompt=preset, seed=3).samples)


def test_the_first_audio_comes_before_the_text_has_ended(voice: Voice, preset: Any) -> None:
    def written() -> Iterator[str]:
        for word in ["Good morning, ladies ", "and ", "gentlemen ", *["all "] * 20]:
            taken.append(word)
            yield word

    taken: list[str] = []
    chunks = voice.chunks(written(), prompt=preset)
    assert len(next(chunks)) == 16, "a frame"
    assert taken == ["Good morning, ladies ", "and ", "gentlemen ", "all "], "25 tokens (bytes) before 2 frames"
    next(chunks)
    assert len(taken) == 4
    next(chunks)
    assert len(taken) > 4
    assert sum(map(len, chunks)) > 0


def test_a_long_text_is_spoken_in_sequences_that_end_with_sentences(realtime: Path, preset: Any) -> None:
    voice = open_voice(realtime, device="cpu", overrides=[*FAST, "decoder.max_seconds=0.002"])
    assert isinstance(voice, RealtimeVoice)
    voice._sequence_characters = 30
    text = (
        "One two three four five. Six seven eight. Nine. Ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    )
    for said in (text, list(text)):
        saying = voice.saying(said, prompt=preset)
        assert sum(map(len, saying)) > 0
        assert [request.text for request in saying.requests] == ["One", "Nine.", "sixteen"]
        assert len({request.seed for request in saying.requests}) == 3


def test_what_says_nothing_is_refused(voice: Voice, preset: Any) -> None:
    for said in ("", " ... ", [" ", "-"], []):
        with pytest.raises(NothingToSay):
            voice.say(said, prompt=preset)
    with pytest.raises(InputError, match="a voice must be given: --voice with a preset"):
        voice.saying("Hi.")


def test_a_text_of_more_positions_than_the_model_has_is_truncated(
    realtime: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tiny_realtime.write_realtime(tmp_path / "small", max_positions=200)
    voice = open_voice(folder, device="cpu", overrides=FAST)
    voice._model.stop[2].bias.fill_(-1e6)
    said = voice.say(["so"] * 200, prompt=voice.prompt(folder / "voice.pt"))
    assert not said.ended
    assert len(said.samples) <= 200 * 16
    assert "did not end naturally and was truncated after" in caplog.text


def test_standard_input_is_spoken_and_standard_output_takes_it(
    realtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = [realtime, *BRIEF, "--voice", realtime / "voice.pt"]
    call(speech.synthesize, *common, "--text", "Hi there.", "--output", tmp_path / "a.wav")
    told = call(speech.synthesize, *common, "--text", "-", "--output", tmp_path / "b.wav", stdin=b"Hi there.").stderr
    assert (tmp_path / "b.wav").read_bytes() == (tmp_path / "a.wav").read_bytes()
    assert re.search(r"s of audio in 1 file, real-time factor \d+\.\d\d, first audio after \d+\.\d\d s", told)
    piped = call(speech.synthesize, *common, "--text", "-", "--output", "-", stdin=b"Hi there.")
    assert piped.stderr.splitlines()[-1].startswith("standard output: 0.0 s of audio in 1 file")
    (tmp_path / "c.wav").write_bytes(piped.stdout_bytes)
    expected = load_audio(tmp_path / "a.wav", 24_000)
    np.testing.assert_array_equal(load_audio(tmp_path / "c.wav", 24_000), expected)
    raw = call(speech.synthesize, *common, "--text", "Hi there.", "--output", "-", "--format", "pcm").stdout_bytes
    np.testing.assert_array_equal(np.frombuffer(raw, "<i2") / 32768, expected)


def test_standard_output_takes_one_text_as_wav_or_pcm(realtime: Path, tmp_path: Path) -> None:
    common = [realtime, "--voice", realtime / "voice.pt"]
    with pytest.raises(InputError, match="--format pcm: is for standard output; give --output -"):
        call(speech.synthesize, *common, "--text", "a", "--format", "pcm")
    with pytest.raises(InputError, match="--format ogg: standard output takes wav or pcm"):
        call(speech.synthesize, *common, "--text", "a", "--output", "-", "--format", "ogg")
    with pytest.raises(InputError, match="--output -: standard output takes the speech of --text"):
        call(speech.synthesize, *common, "--input", tmp_path / "x.txt", "--output", "-")


def test_scripts_are_spoken_by_presets_too(realtime: Path, tmp_path: Path) -> None:
    (tmp_path / "talk.txt").write_text("Anna: Hi.\nAnna: So.")
    given = ["--script", tmp_path / "talk.txt", "--cast", f"anna={realtime / 'voice.pt'}", "--no-picture"]
    told = call(speech.synthesize, realtime, *BRIEF, *given, "--output", tmp_path / "talk.wav").stderr
    assert "2 lines" in told
    assert audio_info(tmp_path / "talk.wav").seconds > 0.4


# Presets


def test_a_converted_preset_is_the_same_voice(realtime: Path, voice: Voice, tmp_path: Path) -> None:
    call(convert, realtime / "voice.pt", tmp_path / "new.safetensors")
    pickled, converted = (voice.prompt(path) for path in (realtime / "voice.pt", tmp_path / "new.safetensors"))
    for name, tensor in pickled.preset.tensors().items():
        assert torch.equal(converted.preset.tensors()[name], tensor), name
    for output in ("a.pt", "new.safetensors/x.safetensors"):
        with pytest.raises(InputError):
            call(convert, realtime / "voice.pt", tmp_path / output)


def test_presets_of_the_released_class_are_read(
    realtime: Path, voice: Voice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "vibevoice.modular.modeling_vibevoice_streaming_inference"
    for part in ("vibevoice", "vibevoice.modular", name):
        monkeypatch.setitem(sys.modules, part, types.ModuleType(part))

    @dataclass
    class VibeVoiceCausalLMOutputWithPast(BaseModelOutputWithPast):  # type: ignore[misc]
        logits: Any = None

    VibeVoiceCausalLMOutputWithPast.__module__ = name
    VibeVoiceCausalLMOutputWithPast.__qualname__ = "VibeVoiceCausalLMOutputWithPast"
    monkeypatch.setattr(
        sys.modules[name], "VibeVoiceCausalLMOutputWithPast", VibeVoiceCausalLMOutputWithPast, raising=False
    )
    saved = tiny_realtime.pickled(load_file(realtime / "voice.safetensors"), VibeVoiceCausalLMOutputWithPast)
    torch.save(saved, tmp_path / "emma.pt")
    read = voice.prompt(tmp_path / "emma.pt").preset.tensors()
    for name, tensor in voice.prompt(realtime / "voice.safetensors").preset.tensors().items():
        assert torch.equal(read[name], tensor), name


class Attack:
    """Makes a folder where it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


def test_code_in_a_preset_is_refused_and_not_run(realtime: Path, voice: Voice, tmp_path: Path) -> None:
    saved: dict[str, Any] = tiny_realtime.pickled(load_file(realtime / "voice.safetensors"))
    torch.save(saved | {"more": Attack(tmp_path / "made")}, tmp_path / "evil.pt")
    expected = (
        r"evil\.pt: expected a voice preset of VibeVoice-Realtime .*, found code: (posix|nt)\.mkdir, which was not run"
    )
    with pytest.raises(InputError, match=expected):
        voice.prompt(tmp_path / "evil.pt")
    with pytest.raises(InputError, match=expected):
        call(convert, tmp_path / "evil.pt", tmp_path / "out.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.pt"]


def test_what_is_no_preset_is_told_in_one_line(realtime: Path, voice: Voice, tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", np.full(24_000, 0.1, np.float32), 24_000)
    torch.save({"lm": 3}, tmp_path / "odd.pt")
    save_file({"x": torch.ones(1)}, tmp_path / "odd.safetensors")
    (tmp_path / "cut.pt").write_bytes((realtime / "voice.pt").read_bytes()[:500])
    (tmp_path / "cut.safetensors").write_bytes((realtime / "voice.safetensors").read_bytes()[:500])
    for name in ("a.wav", "odd.pt", "cut.pt", "cut.safetensors"):
        with pytest.raises(InputError, match=rf"^\S*{name}: expected a voice preset of VibeVoice-Realtime") as error:
            voice.prompt(tmp_path / name)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=r"odd\.safetensors: a voice preset must hold 'tts_lm.last_hidden_state'"):
        voice.prompt(tmp_path / "odd.safetensors")
    with pytest.raises(InputError, match=r"gone\.pt: cannot be read: No such file"):
        voice.prompt(tmp_path / "gone.pt")


def test_a_preset_is_made_of_a_recording_where_there_is_an_encoder(realtime: Path, tmp_path: Path) -> None:
    write_audio(
        tmp_path / "anna.wav", 0.1 * np.random.default_rng(0).standard_normal(14_400).astype(np.float32), 24_000
    )
    given = [tmp_path / "anna.wav", tmp_path / "anna.safetensors", "--transcript", "Hello there.", "--voice-model"]
    with pytest.raises(InputError, match=r"tiny-realtime: has no acoustic encoder .* use a released preset"):
        call(convert, *given, realtime, "--i-have-consent")
    shutil.copytree(realtime, tmp_path / "whole")
    sizes = {"downsampling_ratios": [2, 2, 4], "depths": [1, 1, 1, 1], "num_filters": 3, "hidden_size": 5}
    encoder = VibeVoiceAcousticTokenizerEncoderModel(VibeVoiceAcousticTokenizerEncoderConfig(**sizes)).state_dict()
    weights = load_file(realtime / "model.safetensors")
    weights |= {f"model.audio_tower.encoder.{name}": tensor.clone() for name, tensor in encoder.items()}
    save_file(weights, tmp_path / "whole/model.safetensors")
    with pytest.raises(NoConsent):
        call(convert, *given, tmp_path / "whole")
    call(convert, *given, tmp_path / "whole", "--i-have-consent")
    made = load_file(tmp_path / "anna.safetensors")
    assert made["lm.k0"].shape[2] == len("Hello there.\n")
    assert made["tts_lm.k0"].shape[2] == len("Hello there.\n") + 14_400 // 16
    said = open_voice(realtime, device="cpu", overrides=[*FAST, "decoder.max_seconds=0.005"])
    assert said.say("So.", prompt=said.prompt(tmp_path / "anna.safetensors")).seconds > 0


def test_a_tokenizer_of_another_model_is_refused(realtime: Path, tmp_path: Path) -> None:
    shutil.copytree(realtime, tmp_path / "small")
    config = json.loads((realtime / "config.json").read_text())
    config["decoder_config"]["vocab_size"] = 200
    (tmp_path / "small/config.json").write_text(json.dumps(config))
    weights = load_file(realtime / "model.safetensors")
    name = "model.language_model.embed_tokens.weight"
    weights[name] = weights[name][:200].clone()
    save_file(weights, tmp_path / "small/model.safetensors")
    with pytest.raises(InputError, match=r"small: the text tokenizer has 257 tokens, the model 200; give --tokenizer"):
        open_voice(tmp_path / "small")
