"""A voice from its run folder alone: what it says does not depend on company or chunks, and what it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("soundfile")
import tiny_voice

from latent.audio.files import write_audio
from latent.data.latent_store import StoreFacts
from latent.data.speech_prompts import SpeechRequest
from latent.model_card import write_model_card
from latent.synthesis.provenance import read_tags
from latent.synthesis.saying import PART_PAUSE
from latent.synthesis.takes import TooLong
from latent.synthesis.voice import Voice
from latent.synthesis.voices import open_voice
from latent.text.front_end import NothingToSay
from s2s.errors import ConfigError, InputError

OPTIONS = ["decoder.num_inference_steps=2", "decoder.stop_threshold=0.93", "decoder.min_frames=6"]


@pytest.fixture(scope="module", params=[tiny_voice.write_voice, tiny_voice.write_timed_voice])
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which nothing is left of what the voice was trained on; without cues and with them."""
    folder = tmp_path_factory.mktemp("voice")
    request.param(folder / "whole")
    shutil.move(folder / "whole/voice", folder / "voice")
    shutil.rmtree(folder / "whole")
    return folder


@pytest.fixture(scope="module")
def voice(home: Path) -> Voice:
    return open_voice(home / "voice", overrides=OPTIONS)


def requests(voice: Voice, prompt: np.ndarray) -> list[SpeechRequest]:
    return [
        voice.request("a", "Good day to you.", "ann", seed=3),
        voice.request("b", "So", "bob", seed=4, temperature=0.7),
        voice.request("c", "Hear me", None, prompt, seed=5),
    ]


@pytest.fixture(scope="module")
def prompt(voice: Voice, home: Path) -> np.ndarray:
    noise = np.random.default_rng(5).standard_normal(1500).astype(np.float32)
    write_audio(home / "me.wav", 0.1 * noise, tiny_voice.RATE)
    return voice.prompt(home / "me.wav", consent=True)


def test_a_voice_needs_nothing_but_its_run_folder(voice: Voice) -> None:
    assert voice.speakers == ["ann", "bob"]
    assert (voice.sample_rate, voice.hop_length, voice.frame_rate) == (2000, 20, 100)
    audio = voice.say(voice.request("a", "Good morning.", "ann")).samples
    assert audio.dtype == np.float32
    assert len(audio) % voice.hop_length == 0
    assert np.abs(audio).max() > 0


def test_a_run_holds_a_model_card_that_its_maker_may_complete(home: Path, voice: Voice, tmp_path: Path) -> None:
    card = (home / "voice/MODEL_CARD.md").read_text()
    assert card.startswith("# voice\n")
    assert "| speakers | ann, bob |" in card
    assert "2000 Hz, 100 latents of 3 numbers a second" in card
    (tmp_path / "MODEL_CARD.md").write_text("mine")
    write_model_card(tmp_path, StoreFacts.load(home / "voice"), voice.speakers)
    assert (tmp_path / "MODEL_CARD.md").read_text() == "mine"


def test_requests_together_are_what_they_are_alone(voice: Voice, prompt: np.ndarray) -> None:
    wanted = requests(voice, prompt)
    together: dict[int, list[np.ndarray]] = {row: [] for row in range(3)}
    ended: dict[int, bool] = {}
    for chunk in voice.stream(wanted, chunk_frames=5):
        ended |= chunk.ended
        for row, samples in zip(chunk.rows, chunk.audio, strict=True):
            together[row].append(samples.numpy())
    assert set(ended) == {0, 1, 2}
    assert len({sum(map(len, parts)) for parts in together.values()}) == 3, "of different lengths"
    assert min(sum(map(len, parts)) for parts in together.values()) > 5 * voice.hop_length
    for row, request in enumerate(wanted):
        np.testing.assert_allclose(np.concatenate(together[row]), voice.say(request).samples, atol=2e-3)


def test_requests_that_do_not_fit_together_are_said_all_the_same(voice: Voice, prompt: np.ndarray) -> None:
    long = "So. " * 9
    wanted = [voice.request("a", long, "ann"), voice.request("b", long, None, np.repeat(prompt, 6, 0), seed=1)]
    assert len(list(voice.batches(wanted, 2))) == 2
    said: dict[int, list[np.ndarray]] = {0: [], 1: []}
    for chunk in voice.stream(wanted):
        for row, samples in zip(chunk.rows, chunk.audio, strict=True):
            said[row].append(samples.numpy())
    for row, request in enumerate(wanted):
        np.testing.assert_allclose(np.concatenate(said[row]), voice.say(request).samples, atol=1e-4)


@pytest.mark.parametrize("chunk_frames", [1, 3, 1000])
def test_chunks_of_any_size_are_the_whole(voice: Voice, chunk_frames: int) -> None:
    request = voice.request("a", "Good morning.", "ann", seed=2)
    parts = list(voice.chunks(request, chunk_frames=chunk_frames))
    assert all(len(part) <= chunk_frames * voice.hop_length for part in parts)
    np.testing.assert_allclose(np.concatenate(parts), voice.say(request).samples, atol=1e-4)


def test_a_text_is_said_as_its_request_and_its_file_tells_what_it_is(voice: Voice, tmp_path: Path) -> None:
    speech = voice.say("Good morning.", "bob", seed=2)
    np.testing.assert_array_equal(speech.samples, voice.say(voice.request("a", "Good morning.", "bob", seed=2)).samples)
    np.testing.assert_allclose(
        np.concatenate(list(voice.chunks("Good morning.", "bob", seed=2))), speech.samples, atol=1e-4
    )
    assert (speech.sample_rate, speech.seconds) == (voice.sample_rate, len(speech.samples) / voice.sample_rate)
    assert "Synthetic speech" in read_tags(speech.save(tmp_path / "a.flac"))["comment"]
    assert speech.save(tmp_path / "a.flac").is_file()  # in a notebook, a second time
    assert speech._repr_html_().startswith('<audio controls src="data:audio/wav;base64,UklGR')


def test_a_voice_is_loaded_with_options_as_keywords(home: Path) -> None:
    tame = Voice.load(home / "voice", device="cpu", temperature=0.25, num_inference_steps=2)
    assert tame.request("a", "Good.").temperature == 0.25
    with pytest.raises(InputError, match="Did you mean 'temperature'"):
        Voice.load(home / "voice", temprature=0.25)
    with pytest.raises(InputError, match="device: must be"):
        Voice.load(home / "voice", device="gpu")


def test_the_seed_alone_decides(voice: Voice) -> None:
    first, same, other = (
        voice.say(voice.request(id, "Good.", "ann", seed=seed)).samples for id, seed in [("a", 1), ("b", 1), ("a", 2)]
    )
    np.testing.assert_array_equal(first, same)
    assert len(first) != len(other) or not np.array_equal(first, other)


def test_a_request_without_a_temperature_has_that_of_the_voice(home: Path) -> None:
    tame = open_voice(home / "voice", overrides=[*OPTIONS, "decoder.temperature=0"])
    first, same = (tame.say(tame.request("a", "Good.", "ann", seed=seed)).samples for seed in (1, 2))
    np.testing.assert_array_equal(first, same)
    assert tame.request("a", "Good.", "ann", temperature=0.5).temperature == 0.5


def test_speech_that_never_ends_is_cut_with_a_warning(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    voice = open_voice(home / "voice", overrides=[*OPTIONS, "decoder.stop_threshold=1"])
    request = voice.request("long", "So.", "ann")
    speech = voice.say(request)
    assert len(speech.samples) == request.max_frames * voice.hop_length
    assert not speech.ended
    assert "long: did not end naturally and was truncated after " in caplog.text
    expected = voice.expected_seconds(request)
    assert request.max_frames / voice.frame_rate == pytest.approx(3 * expected + 2, abs=0.02)


def test_batches_hold_every_request_once_and_fit_into_the_model(voice: Voice) -> None:
    texts = ["So. " * count for count in (1, 9, 3, 2, 8, 8, 1)]
    wanted = [voice.request(str(index), text, "ann") for index, text in enumerate(texts)]
    batches = list(voice.batches(wanted, max_rows=3))
    assert sorted(index for batch in batches for index in batch) == list(range(7))
    assert all(1 <= len(batch) <= 3 for batch in batches)
    for batch in batches:
        longest = max(len(wanted[index].text) for index in batch) + 2
        assert longest + max(wanted[index].max_frames for index in batch) <= 800
    lengths = [wanted[index].max_frames for batch in batches for index in batch]
    assert lengths == sorted(lengths, reverse=True)


def test_a_prompt_is_cut_to_what_training_saw(voice: Voice, prompt: np.ndarray) -> None:
    assert prompt.shape == (30, 3)
    assert prompt.dtype == np.float32


def test_a_prompt_may_have_any_rate_channels_level_and_silence_around(voice: Voice, tmp_path: Path) -> None:
    import soundfile

    noise = 0.2 * np.random.default_rng(5).standard_normal(1500)
    soundfile.write(tmp_path / "plain.wav", noise, 2000)
    wanted = voice.prompt(tmp_path / "plain.wav", consent=True)
    silence = np.zeros(4000)
    quiet = 0.3 * np.concatenate([silence, noise, silence])
    soundfile.write(tmp_path / "other.wav", np.stack([quiet, quiet], axis=1), 2000, subtype="FLOAT")
    other = voice.prompt(tmp_path / "other.wav", consent=True)
    assert other.shape == wanted.shape
    soundfile.write(tmp_path / "fast.flac", np.repeat(noise, 4), 8000)
    assert voice.prompt(tmp_path / "fast.flac", consent=True).shape == wanted.shape
    soundfile.write(tmp_path / "click.wav", np.concatenate([silence, noise[:400], silence]), 2000)
    with pytest.raises(InputError, match=r"click\.wav: a voice prompt must not be silent, found 0\.4 seconds of sound"):
        voice.prompt(tmp_path / "click.wav", consent=True)


def test_a_text_too_long_for_one_sequence_is_said_in_parts_with_a_pause_between(voice: Voice) -> None:
    sentence = "Never mind the weather. "
    long = sentence * (2 * voice.max_positions // len(sentence))
    with pytest.raises(TooLong):
        voice.request("whole", long, "ann")
    saying = voice.saying(long, "ann", seed=7)
    said_long = np.concatenate(list(saying))
    parts = saying.requests
    assert len(parts) > 1
    assert "".join(part.text for part in parts).replace(" ", "") == long.replace(" ", "")
    alone = [voice.say(part).samples for part in parts]
    pause = np.zeros(round(PART_PAUSE * voice.sample_rate), np.float32)
    expected = np.concatenate([piece for said in alone for piece in (pause, said)][1:])
    np.testing.assert_allclose(said_long, expected, atol=1e-5)


def test_text_that_arrives_is_said_sentence_by_sentence(voice: Voice) -> None:
    text = "Good morning. Two, three. So it is"
    whole = voice.saying([text], "ann", seed=7)
    samples = np.concatenate(list(whole))
    assert [request.text for request in whole.requests] == ["Good morning.", "Two, three.", "So it is"]
    np.testing.assert_array_equal(voice.say(list(text), "ann", seed=7).samples, samples)
    first = voice.say("Good morning.", "ann", seed=7).samples
    np.testing.assert_allclose(samples[: len(first)], first, atol=1e-5)
    with pytest.raises(NothingToSay):
        voice.say([" ", ""], "ann")


def test_the_first_speaker_speaks_where_none_is_given(voice: Voice) -> None:
    unnamed, named = voice.request("a", "Two, three."), voice.request("a", "Two, three.", "ann")
    assert (unnamed.speaker, unnamed.tokens) == (named.speaker, named.tokens)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (" \n", {"speaker": "ann"}, "'text' is empty; expected something to say"),
        (
            "?! ...",
            {"speaker": "ann"},
            r"'text' must hold more than punctuation and emoji, found a string \(\"\?! ...\"\)",
        ),
        ("half \ud83d", {"speaker": "ann"}, "'text' holds half a surrogate pair"),
        ("\u200d\ufe0f", {"speaker": "ann"}, "'text' must hold more than punctuation"),
        ("hi", {"speaker": "anne"}, r"no speaker is called 'anne'\. Did you mean 'ann'"),
        ("never " * 100, {"speaker": "ann"}, r"'text' is too long: \d+ positions .* has 800 \(model.max_positions\)"),
        ("never " * 50_000, {"speaker": "ann"}, r"'text' is too long: \d+ positions .* as a script"),
        ("hi", {"speaker": "ann", "seed": -1}, r"'seed' must be from 0 to 2\^63 - 1, found -1"),
        ("hi", {"speaker": "ann", "temperature": float("nan")}, "'temperature' must be 0 or more, found nan"),
    ],
)
def test_requests_that_cannot_be_said_are_told_in_one_line(
    voice: Voice, text: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        voice.request("x", text, **options)


@pytest.mark.parametrize(
    ("seconds", "level", "message"),
    [
        (0.1, 0.1, r"must last 0.5 to 60 seconds, found 0.1"),
        (600, 0.1, r"must last 0.5 to 60 seconds, found 600.0"),
        (1, 0.0, r"must not be silent, found 0.0 seconds of sound"),
    ],
)
def test_prompts_that_are_none_are_told_in_one_line(
    voice: Voice, tmp_path: Path, seconds: float, level: float, message: str
) -> None:
    write_audio(tmp_path / "p.wav", np.full(int(2000 * seconds), level, np.float32), 2000)
    with pytest.raises(InputError, match=f"p.wav: a voice prompt {message}"):
        voice.prompt(tmp_path / "p.wav", consent=True)


def test_prompts_that_cannot_be_read_are_told_in_one_line(voice: Voice, tmp_path: Path) -> None:
    import soundfile

    with pytest.raises(InputError, match=r"gone\.wav: cannot be read: No such file"):
        voice.prompt(tmp_path / "gone.wav", consent=True)
    (tmp_path / "text.wav").write_text("no audio")
    with pytest.raises(InputError, match=r"text\.wav: cannot be read as audio"):
        voice.prompt(tmp_path / "text.wav", consent=True)
    samples = np.full(2000, 0.1, np.float32)
    samples[7] = np.nan
    soundfile.write(tmp_path / "nan.wav", samples, 2000, subtype="FLOAT")
    with pytest.raises(InputError, match=r"nan\.wav: sample 7 is nan, expected finite numbers"):
        voice.prompt(tmp_path / "nan.wav", consent=True)
    soundfile.write(tmp_path / "empty.wav", samples[:0], 2000)
    with pytest.raises(InputError, match=r"empty.wav: a voice prompt must last 0.5 to 60 seconds, found 0.0"):
        voice.prompt(tmp_path / "empty.wav", consent=True)


def test_runs_that_are_no_voice_are_told_in_one_line(tmp_path: Path) -> None:
    run = tiny_voice.write_voice(tmp_path, voice_prompt_prob=0)
    with pytest.raises(InputError, match="not a run folder"):
        open_voice(tmp_path)
    with pytest.raises(InputError, match=r"run of the task 'speech_synthesis' .*, found task 'speech_autoencoding'"):
        open_voice(tmp_path / "tokenizer")
    with pytest.raises(InputError, match="must be a run of the model 'sigma_vae', found 'latent_lm'"):
        open_voice(run, run)
    with pytest.raises(ConfigError, match=r"decoder.guidance: no such option\. Did you mean 'guidance_scale'"):
        open_voice(run, overrides=["decoder.guidance=2"])
    with pytest.raises(InputError, match=r"trained without voice prompts \(task.voice_prompt_prob is 0\)"):
        open_voice(run).prompt(tmp_path / "recordings/ann0.wav", consent=True)
    manifest = tmp_path / "recordings/manifest.jsonl"
    for name, found in (("latent_size", 4), ("hop_length", 6)):
        sizes = {"latent_size": 4} if name == "latent_size" else {"ratios": [2, 3]}
        other = tiny_voice.write_run(tiny_voice.tokenizer_config(manifest, **sizes), tmp_path / name)
        wanted = {"latent_size": 3, "hop_length": 20}[name]
        with pytest.raises(
            InputError, match=f"is not the audio tokenizer of .*: {name} must be {wanted}, found {found}"
        ):
            open_voice(run, other)
    shutil.rmtree(run / "audio_tokenizer")
    with pytest.raises(InputError, match=r"holds no audio_tokenizer/; give the run of .* \(.*tokenizer\)"):
        open_voice(run)
    assert open_voice(run, tmp_path / "tokenizer").speakers == ["ann", "bob"]
