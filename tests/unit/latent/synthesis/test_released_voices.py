"""Released weights, on tiny checkpoints: from scripts, texts and lines and recordings of voices to files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from safetensors.torch import save_file
from tiny_realtime import write_byte_tokenizer
from typer.testing import CliRunner

from latent.audio.files import audio_info, load_audio, write_audio
from latent.longform.cast import Role
from latent.longform.long_form import synthesize_script
from latent.synthesis.provenance import read_tags
from latent.synthesis.takes import Turn
from latent.synthesis.voices import open_voice
from latent.text.text_encoder import load_text_encoder
from s2s.errors import ConfigError, InputError
from unilatent.commands import speech

pytest.importorskip("soundfile")
pytest.importorskip("soxr")

RATE = 24_000


def config() -> dict[str, Any]:
    codec = {"downsampling_ratios": [40, 80], "depths": [1, 1, 1], "num_filters": 1, "kernel_size": 7}
    codec |= {"ffn_expansion": 2, "rms_norm_eps": 1e-5, "vae_std": 0.625, "hidden_size": 3, "channels": 1}
    text = {"vocab_size": 260, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    text |= {"num_key_value_heads": 1, "intermediate_size": 6, "rms_norm_eps": 1e-6, "max_position_embeddings": 600}
    text |= {"model_type": "qwen2", "tie_word_embeddings": True}
    head = {"intermediate_size": 24, "num_hidden_layers": 1, "rms_norm_eps": 1e-5}
    return {
        "model_type": "vibevoice",
        "audio_config": codec | {"model_type": "vibevoice_acoustic_tokenizer"},
        "semantic_model_config": codec | {"model_type": "vibevoice_acoustic_tokenizer_encoder"},
        "text_config": text | {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}},
        "diffusion_head_config": head | {"frequency_embedding_size": 256, "diffusion_max_period": 10_000},
        "audio_token_id": 256,
        "audio_eos_token_id": 257,
        "audio_bos_token_id": 258,
        "eos_token_id": 259,
        "pad_token_id": 259,
        "tie_word_embeddings": True,
    }


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of `transformers` with a tokenizer of bytes beside them."""
    import transformers

    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    folder.mkdir()
    torch.manual_seed(0)
    settings = transformers.VibeVoiceConfig(**config())
    weights = transformers.VibeVoiceForConditionalGeneration(settings).state_dict()
    for name, tensor in weights.items():
        if "audio_tower" in name and tensor.dim() > 1:
            tensor.normal_(std=0.2)
    table = weights["model.language_model.embed_tokens.weight"]
    table[:, 0], table[256, 0], table[[257, 259], 0] = 10, 20, -20  # a latent follows wherever the first number is high
    for connector in ("multi_modal_projector", "semantic_connector"):
        weights[f"model.{connector}.linear_2.bias"][0] = 20
    save_file(
        {name: t.clone() for name, t in weights.items() if name != "lm_head.weight"}, folder / "model.safetensors"
    )
    (folder / "config.json").write_text(json.dumps(settings.to_dict(), default=str))
    write_byte_tokenizer(folder)
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "script.txt").write_text("Speaker 1: Hello.\nSpeaker 2: Hi there.\n")
    for name, pitch in (("a", 100), ("b", 200)):
        time = np.arange(RATE) / RATE
        write_audio(tmp_path / f"{name}.wav", (0.1 * np.sin(2 * np.pi * pitch * time)).astype(np.float32), RATE)
    return tmp_path


def call(*arguments: object) -> Any:
    app = typer.Typer()
    app.command()(speech.synthesize)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


FAST = ["decoder.num_inference_steps=2", "decoder.max_seconds=0.6", "--device", "cpu"]


def cast(home: Path) -> list[object]:
    return ["--cast", f"Speaker 1={home / 'a.wav'}", "--cast", f"Speaker 2={home / 'b.wav'}", "--i-have-consent"]


def test_a_script_becomes_a_file_with_everything_that_scripts_have(checkpoint: Path, home: Path) -> None:
    common = [checkpoint, *FAST, "--script", home / "script.txt", *cast(home), "--no-picture"]
    told = call(*common, "--output", home / "out.wav").stderr
    assert "0.7 s of audio, 1 line, 1 truncated" in told
    info = audio_info(home / "out.wav")
    assert info.sample_rate == RATE
    assert info.seconds == pytest.approx(5 * 3200 / RATE), "0.6 s, in whole frames"
    assert re.fullmatch(
        r"Synthetic speech, not a recording\. Model tiny \([0-9a-f]{16}\), seed 0, .*",
        read_tags(home / "out.wav")["comment"],
    )
    assert (home / "a.wav.consent.json").is_file()
    (line,) = json.loads((home / "out.wav.report.json").read_text())["spoken"]
    assert (line["speaker"], line["text"]) == ("Speaker 1, Speaker 2", "Speaker 1: Hello.\nSpeaker 2: Hi there.")
    before = (home / "out.wav").read_bytes()
    assert "1 line" in call(*common, "--output", home / "out.wav").stderr, "it is finished"
    assert (home / "out.wav").read_bytes() == before
    with pytest.raises(InputError, match=r"belongs to another job \(options.seed was 0, is now 1\)"):
        call(*common, "--output", home / "out.wav", "--seed", 1)
    call(*common, "--output", home / "out.wav", "--overwrite", "--seed", 1)
    assert not np.array_equal(load_audio(home / "out.wav", RATE), load_audio_of(before, home))


def load_audio_of(content: bytes, folder: Path) -> Any:
    (folder / "before.wav").write_bytes(content)
    return load_audio(folder / "before.wav", RATE)


def test_a_pause_divides_a_script_into_takes(checkpoint: Path, home: Path) -> None:
    (home / "script.txt").write_text("Speaker 1: Hello.\nSpeaker 2: Hi. [pause 0.5] So.\n\nSpeaker 1: Bye.")
    call(checkpoint, *FAST, "--script", home / "script.txt", *cast(home), "--no-picture", "--output", home / "o.wav")
    first, second = json.loads((home / "o.wav.report.json").read_text())["spoken"]
    assert (first["text"], second["text"]) == (
        "Speaker 1: Hello.\nSpeaker 2: Hi.",
        "Speaker 2: So.\nSpeaker 1: Bye.",
    )
    assert second["start"] - first["stop"] == pytest.approx(0.5, abs=1e-3)


def test_a_script_that_was_killed_goes_on_to_the_same_bytes(checkpoint: Path, home: Path) -> None:
    (home / "script.txt").write_text("Speaker 1: Hello. [pause 0.5] So.\nSpeaker 1: Bye. [pause 0.2] Yes.")
    voice = open_voice(checkpoint, overrides=FAST[:2])
    roles = {"Speaker 1": Role(prompt=voice.prompt(home / "a.wav", consent=True))}
    marked: list[int] = []

    def mark(samples: Any, sample_rate: int) -> Any:
        marked.append(len(samples))
        if len(marked) == 2:
            raise KeyboardInterrupt
        return samples

    def speak(name: str) -> Any:
        script, quiet = home / "script.txt", {"picture": False, "show_progress": False}
        return synthesize_script(voice, script, home / name, roles, mark=mark, **quiet)  # type: ignore[arg-type]

    with pytest.raises(KeyboardInterrupt):
        speak("killed.wav")
    assert speak("killed.wav").lines == 3
    assert len(marked) == 4, "the first take was not spoken again"
    speak("whole.wav")
    assert (home / "killed.wav").read_bytes() == (home / "whole.wav").read_bytes()


def test_a_long_script_is_spoken_in_as_many_takes_as_it_needs(checkpoint: Path, home: Path) -> None:
    voice = open_voice(checkpoint)
    narrated = voice.takes([turn(f"talk:{n}", "So it is. " * 12, f"Speaker {n % 2 + 1}") for n in range(4)], 0.4, None)
    takes = list(narrated)
    assert 1 < len(takes) <= 4
    assert sum(len(take.turns) for take in takes) == 4
    for take in takes:
        assert len(take.request.tokens) + take.request.max_frames <= voice.max_positions
    assert [take.pause for take in takes] == [0.4] * (len(takes) - 1) + [0.0]


def test_a_context_begins_again_between_lines_with_the_voice_prompt_and_silence(checkpoint: Path, home: Path) -> None:
    voice = open_voice(checkpoint)
    prompt = voice.prompt(home / "a.wav", consent=True)
    turns = [turn(f"talk:{n}", "So it is. " * 3, prompt=prompt) for n in range(6)]
    (whole,) = voice.takes(turns, 0.4, None)
    seconds = voice.expected_seconds(whole.request) / 6
    takes = list(voice.takes(turns, 0.4, None, 2.5 * seconds))
    assert [len(take.turns) for take in takes] == [2, 2, 2]
    assert [take.pause for take in takes] == [0.4, 0.4, 0.0]
    for take in takes:
        assert np.array_equal(take.request.voice, prompt)
        assert take.request.tokens[:20] == whole.request.tokens[:20]


def test_voices_that_chance_chooses_are_told(checkpoint: Path, caplog: pytest.LogCaptureFixture) -> None:
    voice = open_voice(checkpoint)
    list(voice.takes([turn("talk:1", "So."), turn("talk:2", "Yes.")], 0.4, None))
    assert "change their voices" not in caplog.text
    list(voice.takes([turn(f"talk:{n}", "So it is.") for n in range(4)], 0.4, None, 0.1))
    assert caplog.text.count("speakers without a recording change their voices between them; give --cast") == 1


def turn(where: str, text: str, name: str = "Speaker 1", prompt: Any = None) -> Turn:
    return Turn(where, 0, name, text, None, prompt, 0, None)


def test_a_request_holds_the_released_prompt(checkpoint: Path, home: Path) -> None:
    voice = open_voice(checkpoint)
    voices = [voice.prompt(home / f"{name}.wav", consent=True) for name in "ab"]
    assert [one.shape for one in voices] == [(8, 3), (8, 3)]
    turns = [turn("x:1", "It’s fine. <|pad|>", "Speaker 1", voices[0]), turn("x:2", "So.", "Speaker 3", voices[1])]
    (take,) = voice.takes(turns, 0.4, None)
    encode = load_text_encoder(checkpoint, None)
    latents = [258, *[256] * 8, 257]
    task = " Transform the text provided by various speakers into speech output, "
    task += "utilizing the distinct voice of each respective speaker.\n"
    expected = [*encode(task + " Voice input:\n Speaker 0:"), *latents, *encode("\n Speaker 1:"), *latents]
    expected += encode("\n Text input:\n Speaker 0: It's fine. <|pad|>\n Speaker 1: So.\n Speech output:\n")
    assert take.request.tokens == [*expected, 258]
    assert np.array_equal(take.request.voice, np.concatenate(voices))


def test_lines_and_texts_are_spoken_too(checkpoint: Path, home: Path) -> None:
    (home / "in.jsonl").write_text(
        '{"text": "One."}\n{"text": "Two, more.", "voice": "a.wav"}\n{"text": "x", "speaker": "eve"}\n'
    )
    result = call(
        checkpoint, *FAST, "--input", home / "in.jsonl", "--output", home / "out", "--consent-for", home / "a.wav"
    )
    assert result.exit_code == 0
    assert "in 2 files" in result.stderr
    assert "1 not usable, see errors.jsonl" in result.stderr
    assert "this voice has none" in (home / "out/errors.jsonl").read_text()
    call(checkpoint, *FAST, "--text", "Hello.", "--voice", home / "a.wav", "--output", home / "t.flac")
    assert audio_info(home / "t.flac").seconds > 0.5


def test_mistakes_are_one_line(checkpoint: Path, home: Path) -> None:
    script = home / "script.txt"
    common = [checkpoint, "--script", script, "--output", home / "out.wav", "--device", "cpu", "--no-picture"]
    with pytest.raises(InputError, match=r"a\.wav: a voice prompt needs the consent"):
        call(*common, "--cast", f"Speaker 1={home / 'a.wav'}")
    with pytest.raises(InputError, match=r"script\.txt:2: 'Speaker 2' has no voice, but others have; give --cast"):
        call(*common, "--cast", f"Speaker 1={home / 'a.wav'}", "--i-have-consent")
    with pytest.raises(ConfigError, match="model: only options of the decoder and the script can be given here"):
        call(*common, "model.hidden_size=3")
    with pytest.raises(ConfigError, match=r"decoder\.guidance: no such option\. Did you mean 'guidance_scale'"):
        call(*common, "decoder.guidance=3")
    with pytest.raises(InputError, match=r"decoder\.max_seconds: the model has room for \d+\.\d s after this text"):
        call(*common, "decoder.max_seconds=900")
    with pytest.raises(InputError, match=r"out\.mp4: the suffix must be one of"):
        call(*common[:3], "--output", home / "out.mp4", "--device", "cpu")
    with pytest.raises(InputError, match="--checkpoint 7: released weights have no checkpoints"):
        call(*common, "--checkpoint", 7)
    script.write_text("Anna: hello")
    with pytest.raises(InputError, match=r"script\.txt:1: 'Anna' has no voice"):
        call(*common)
    write_audio(home / "short.wav", np.full(100, 0.1, np.float32), RATE)
    with pytest.raises(InputError, match=r"short\.wav: a voice sample must last 0\.5 to 120 s, found 0\.0"):
        open_voice(checkpoint).prompt(home / "short.wav", consent=True)
    (home / "nothing").mkdir()
    with pytest.raises(InputError, match=r"nothing: has no text tokenizer and names none; give --tokenizer"):
        load_text_encoder(home / "nothing", None)


def test_half_precision_generates_too(checkpoint: Path, home: Path) -> None:
    from latent.decoding.vibevoice import VibeVoiceDecoder
    from latent.models.checkpoints import load_vibevoice
    from latent.synthesis.vibevoice_voice import VibeVoiceVoice

    decoder = VibeVoiceDecoder(VibeVoiceDecoder.Config(num_inference_steps=2))
    model = load_vibevoice(str(checkpoint), torch.bfloat16)
    voice = VibeVoiceVoice(checkpoint, model, decoder, load_text_encoder(checkpoint, None))
    request = voice.request("x", "Hello there.", prompt=voice.prompt(home / "a.wav", consent=True))
    for chunk, _ in zip(voice.stream([request]), range(4), strict=False):
        assert torch.isfinite(chunk.audio).all()


def test_requests_of_a_session_are_spoken_together_each_as_alone(checkpoint: Path, home: Path) -> None:
    overrides = ["decoder.num_inference_steps=2", "decoder.max_seconds=0.6"]
    voice = open_voice(checkpoint, device="cpu", overrides=overrides)
    prompt = voice.prompt(home / "a.wav", consent=True)
    requests = [
        voice.request(text, text, prompt=prompt, seed=seed) for seed, text in enumerate(["Hello.", "Hi there."])
    ]
    session = voice.session(4)
    keys = [session.add(requests[0])]
    chunks = session.step()
    keys.append(session.add(requests[1]))
    chunks += session.step()
    assert [chunk.key for chunk in chunks] == [keys[0], *keys]
    while len(session):
        chunks += session.step()
    for key, request in zip(keys, requests, strict=True):
        said = np.concatenate([chunk.samples for chunk in chunks if chunk.key == key])
        np.testing.assert_allclose(said, voice.say(request).samples, atol=1e-5)
    assert [chunk.ended for chunk in chunks if chunk.ended is not None] == [False, False]


def test_a_session_takes_as_many_requests_as_have_positions(checkpoint: Path) -> None:
    voice = open_voice(checkpoint, device="cpu", overrides=["decoder.num_inference_steps=1", "decoder.max_seconds=1"])
    short, long = (voice.request("x", text) for text in ("Hi.", "This is more. " * 6))
    session = voice.session(8)
    positions = len(long.tokens) + long.max_frames
    assert 2 * positions <= voice.max_positions < 3 * positions
    keys = [session.add(long), session.add(short)]
    assert not session.has_room(short), "each row of the batch has room for the longest"
    session.remove(keys[0])
    assert session.has_room(short)
    session.remove(keys[1])
    assert session.step() == []
    assert len(session) == 0
