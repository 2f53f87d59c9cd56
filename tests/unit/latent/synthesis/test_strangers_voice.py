"""A voice that was trained to speak as strangers: whom its requests name, and the guidance of text and speaker."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("soundfile")
import tiny_voice

from latent.audio.files import write_audio
from latent.data.vocabulary import VOICE_END
from latent.longform.cast import Role
from latent.longform.narrator import LongFormOptions, Narrator
from latent.longform.script import ScriptLine
from latent.synthesis.latent_voice import LatentVoice
from latent.synthesis.requests import Wishes, read_requests
from s2s.errors import ConfigError, InputError

OPTIONS = ["decoder.num_inference_steps=2", "decoder.stop_threshold=1", "decoder.temperature=1"]
PROMPT = np.random.default_rng(3).standard_normal((12, 3)).astype(np.float32)


@pytest.fixture(scope="module", params=[tiny_voice.write_voice, tiny_voice.write_timed_voice])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    written: Path = request.param(tmp_path_factory.mktemp("voice"), nameless_rate=0.5)
    return written


@pytest.fixture(scope="module")
def voice(run: Path) -> LatentVoice:
    return LatentVoice.open(run, overrides=OPTIONS)


def said(voice: LatentVoice) -> np.ndarray:
    request = replace(voice.request("a", "Good morning.", prompt=PROMPT, seed=1), max_frames=9)
    return voice.say(request).samples


def test_who_has_a_prompt_and_no_name_is_a_stranger(voice: LatentVoice) -> None:
    tokens = {
        name: voice.request("a", "So.", name, prompt=PROMPT).tokens[len(PROMPT) + 2] for name in (None, "ann", "bob")
    }
    vocabulary = voice.vocabulary
    assert tokens == {
        None: vocabulary.stranger,
        "ann": vocabulary.speaker("ann"),
        "bob": vocabulary.speaker("bob"),
    }
    unheard = voice.request("a", "So.").tokens
    assert VOICE_END not in unheard
    assert unheard[0] == vocabulary.speaker("ann"), "without a prompt the first speaker speaks"


def test_a_stranger_goes_on_as_a_stranger(voice: LatentVoice) -> None:
    request = voice.request("a", "So.", prompt=PROMPT)
    further = voice.continued(request, PROMPT[:5])
    assert further.tokens[-len(request.tokens) + len(PROMPT) + 2 :] == request.tokens[len(PROMPT) + 2 :]


def test_speaker_guidance_is_that_of_the_text_unless_it_is_given(run: Path, voice: LatentVoice) -> None:
    scales = {
        scale: LatentVoice.open(run, overrides=[*OPTIONS, f"decoder.speaker_guidance_scale={scale}"])
        for scale in (1.3, 3.0)
    }
    np.testing.assert_array_equal(said(scales[1.3]), said(voice))
    assert np.abs(said(scales[3.0]) - said(voice)).max() > 1e-3


def test_speaker_guidance_needs_a_voice_that_was_trained_for_it(tmp_path: Path) -> None:
    run = tiny_voice.write_voice(tmp_path)
    with pytest.raises(ConfigError, match=r"decoder\.speaker_guidance_scale: .* not trained with task\.nameless_rate"):
        LatentVoice.open(run, overrides=["decoder.speaker_guidance_scale=2"])


def test_speed_scales_the_plan_wherever_it_is_given(run: Path, voice: LatentVoice) -> None:
    options = {"speaker": "ann", "seed": 1}
    if voice.vocabulary.cues is None:
        with pytest.raises(InputError, match=r"speed: must be 1, this voice has no other; found 2"):
            voice.say("So.", speed=2, **options)
        return
    plain = voice.request("a", "Good morning.", **options)
    for speed in (0.5, 2.0):
        paced = voice.request("a", "Good morning.", speed=speed, **options)
        np.testing.assert_allclose(paced.timing.durations * speed, plain.timing.durations)
        assert paced.expected_frames == pytest.approx(plain.expected_frames / speed, abs=1)
        (request,) = voice.saying("Good morning.", speed=speed, **options).requests or [paced]
        assert request.expected_frames == paced.expected_frames
    lines = run.parent / f"{run.name}.jsonl"
    lines.write_text('{"text": "So."}\n{"text": "So.", "speed": 0.5}\n')
    records = read_requests(voice, lines, Wishes(speaker="ann", speed=2.0))
    assert [record.request.speed for record in records] == [2.0, 0.5]
    for speed in (0.4, 2.5):
        with pytest.raises(InputError, match=rf"speed: must be 0\.5 to 2, found {speed:g}"):
            voice.request("a", "So.", speed=speed, **options)


def test_a_script_has_a_speed(run: Path, voice: LatentVoice) -> None:
    if voice.vocabulary.cues is None:
        return
    lines = [ScriptLine("a:1", "ann", "Good morning."), ScriptLine("a:2", "ann", "So.")]
    takes = {
        speed: Narrator(voice, {"ann": Role("ann")}, LongFormOptions(speed=speed)).plan(lines) for speed in (1.0, 2.0)
    }
    for slow, fast in zip(takes[1.0], takes[2.0], strict=True):
        np.testing.assert_allclose(fast.request.timing.durations * 2, slow.request.timing.durations)


def test_a_prompt_with_faults_is_used_and_they_are_told(
    voice: LatentVoice, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    noise = np.random.default_rng(1).standard_normal(tiny_voice.RATE).astype(np.float32)
    write_audio(tmp_path / "hum.wav", 0.1 * noise, tiny_voice.RATE)
    assert len(voice.prompt(tmp_path / "hum.wav", consent=True))
    assert "the voice will sound like this recording, which has noise or music (its soft parts are only" in caplog.text
