"""The verbs of speech in one process: what they refuse, and that options reach what they call."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

pytest.importorskip("soundfile")
import tiny_voice

from latent.audio.files import audio_info, load_audio
from s2s.errors import InputError
from unilatent.commands import describing, speech, text
from unilatent.commands.convert import convert

FAST = ["decoder.num_inference_steps=1", "decoder.stop_threshold=0.9"]

app = typer.Typer(pretty_exceptions_enable=False)
app.command("encode")(speech.encode)
app.command("synthesize")(speech.synthesize)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("voice")
    tiny_voice.write_voice(folder)
    return folder


def call(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None:
        raise result.exception
    return result.stderr


def speak(home: Path, *arguments: object) -> str:
    return call("synthesize", home / "voice", *FAST, "--device", "cpu", *arguments)


def test_a_text_becomes_a_file_and_the_last_line_tells_its_length(home: Path, tmp_path: Path) -> None:
    told = speak(home, "--text", "Good.", "--speaker", "ann", "--output", tmp_path / "x.flac")
    seconds = audio_info(tmp_path / "x.flac").seconds
    assert f"x.flac: {seconds:.1f} s of audio in 1 file, real-time factor" in told


def test_the_output_has_a_name_if_none_is_given(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    speak(home, "--text", "Good.", "--speaker", "ann")
    (tmp_path / "in.jsonl").write_text('{"id": "a", "text": "One.", "speaker": "ann"}\n')
    speak(home, "--input", "in.jsonl")
    assert (tmp_path / "speech.wav").is_file()
    assert (tmp_path / "speech/a.wav").is_file()


def test_seed_temperature_and_decoder_options_are_used(home: Path, tmp_path: Path) -> None:
    options = {
        "a": [],
        "same": [],
        "seed": ["--seed", 5],
        "cool": ["--temperature", 0.3],
        "steps": [FAST[0][:-1] + "3"],
    }
    audio = {}
    for name, more in options.items():
        speak(home, "--text", "Good.", "--speaker", "bob", "--output", tmp_path / f"{name}.wav", *more)
        audio[name] = load_audio(tmp_path / f"{name}.wav", tiny_voice.RATE)
    np.testing.assert_array_equal(audio["a"], audio["same"])
    for name in ("seed", "cool", "steps"):
        assert len(audio[name]) != len(audio["a"]) or not np.array_equal(audio[name], audio["a"])


def test_records_become_a_folder_that_can_be_encoded(home: Path, tmp_path: Path) -> None:
    lines = [{"id": "a", "text": "One.", "speaker": "ann"}, {"id": "b", "text": "Two."}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    arguments = ["--input", tmp_path / "in.jsonl", "--output", tmp_path / "out", "--format", "ogg", "--speaker", "bob"]
    assert ": " in speak(home, *arguments)
    assert "0.0 s of audio in 0 files, 2 already there" in speak(home, *arguments)
    told = call(
        "encode", tmp_path / "out/manifest.jsonl", "--tokenizer", home / "tokenizer", "--output", tmp_path / "st"
    )
    assert "latents of 3 numbers" in told
    with pytest.raises(InputError, match="already has latents; give --overwrite"):
        call("encode", tmp_path / "out/manifest.jsonl", "--tokenizer", home / "tokenizer", "--output", tmp_path / "st")


def test_a_voice_prompt_needs_consent_once(home: Path, tmp_path: Path) -> None:
    prompt = home / "recordings/bob2.wav"
    arguments = ["--text", "Good.", "--voice", prompt, "--overwrite", "--output", tmp_path / "x.wav"]
    with pytest.raises(InputError, match=r"bob2\.wav: a voice prompt needs the consent of the person who speaks"):
        speak(home, *arguments)
    speak(home, *arguments, "--i-have-consent")
    speak(home, *arguments)


def test_a_script_is_spoken_by_its_cast(home: Path, tmp_path: Path) -> None:
    (tmp_path / "play.txt").write_text("Speaker 1: Good day.\nGuest: So.\n")
    arguments = ["--script", tmp_path / "play.txt", "--output", tmp_path / "play.wav", "--no-picture"]
    assert "s of audio, 2 lines" in speak(home, *arguments, "--cast", "Guest=bob", "script.pause_seconds=0.1")
    with pytest.raises(InputError, match="no speaker is called 'bobb'"):
        speak(home, *arguments, "--cast", "Guest=bobb")
    with pytest.raises(InputError, match=r"--cast: must read \"NAME IN THE SCRIPT=speaker or recording\", found 'bob'"):
        speak(home, *arguments, "--cast", "bob")
    with pytest.raises(InputError, match="--speaker, --voice: a script has speakers of its own"):
        speak(home, *arguments, "--speaker", "bob")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give one of --text, --input and --script"),
        (["--text", "x", "--input", "y"], "give one of --text, --input and --script"),
        (["--text", "", "--speaker", "ann"], "'text' is empty"),
        (["--text", "x", "--speaker", "eve"], "no speaker is called 'eve'"),
        (["--text", "x", "--speaker", "ann", "--output", "x.mp3"], r"x\.mp3: the suffix must be one of"),
        (["--text", "x", "--device", "cuda"], "device: 'cuda' was asked for, but torch finds no such GPU here"),
        (["--text", "x", "--checkpoint", "7"], "7: there is no such checkpoint"),
        (["decoder.num_steps=3", "--text", "x"], r"decoder\.num_steps: no such option"),
    ],
)
def test_mistakes_are_one_line(home: Path, arguments: list[str], message: str) -> None:
    if "cuda" in arguments:
        import torch

        if torch.cuda.is_available():
            pytest.skip("there is a GPU")
    with pytest.raises(InputError, match=message):
        call("synthesize", home / "voice", *arguments)


def test_what_cannot_be_encoded_is_one_line(home: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "m.jsonl"
    options = ["--tokenizer", home / "tokenizer", "--output", tmp_path / "store"]
    manifest.write_text('{"id": "a", "audio": "a.wav", "seconds": 1}\n')
    with pytest.raises(InputError, match=r"m\.jsonl:1: 'text' is missing"):
        call("encode", manifest, *options)
    manifest.write_text('{"id": "a", "audio": "a.wav", "text": "x"}\n')
    with pytest.raises(InputError, match=r"a\.wav: no such audio file"):
        call("encode", manifest, *options)
    with pytest.raises(InputError, match="must be a run of the model 'sigma_vae', found 'latent_lm'"):
        call(
            "encode", home / "recordings/manifest.jsonl", "--tokenizer", home / "voice", "--output", tmp_path / "store"
        )
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match="taken: cannot be written"):
        call(
            "encode",
            home / "recordings/manifest.jsonl",
            "--tokenizer",
            home / "tokenizer",
            "--output",
            tmp_path / "taken",
        )


def test_verbs_for_text_refuse_a_voice_in_one_line(home: Path, tmp_path: Path) -> None:
    text_verbs = typer.Typer(pretty_exceptions_enable=False)
    for verb in (
        text.decode,
        convert,
        describing.options,
        describing.show,
    ):
        text_verbs.command(verb.__name__)(verb)

    def told(*arguments: object) -> str:
        return CliRunner().invoke(text_verbs, [str(argument) for argument in arguments], catch_exceptions=False).stdout

    with pytest.raises(InputError, match="its task, 'speech_synthesis', generates no text"):
        told("decode", home / "voice")
    with pytest.raises(InputError, match="only a UniLM can be written as a BERT, found a LatentLM"):
        told("convert", home / "voice", tmp_path / "bert")
    with pytest.raises(InputError, match="a decoder from outside this distribution needs --import MODULE"):
        told("options", "decoder", "next_token_difusion")
    assert "decoder.guidance_scale: float = 1.3" in told(
        "options", "decoder", "next_token_diffusion", "--import", "latent.plugin"
    )
    assert "name: latent_lm" in told("show", home / "voice")


def test_speech_may_not_replace_the_recording_that_it_imitates(home: Path, tmp_path: Path) -> None:
    recording = home / "recordings/ann0.wav"
    before = recording.read_bytes()
    for how in (
        ["--text", "Good.", "--voice", recording],
        ["--script", tmp_path / "x.txt", "--cast", f"A={recording}"],
    ):
        with pytest.raises(InputError, match=r"ann0\.wav: is also an input; choose another output"):
            speak(home, *how, "--i-have-consent", "--output", recording, "--overwrite")
    assert recording.read_bytes() == before
    with pytest.raises(InputError, match=r"optim\.lr: changes nothing here; it is used in training only"):
        speak(home, "--text", "Good.", "optim.lr=1")
