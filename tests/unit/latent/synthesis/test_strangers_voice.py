"""A voice that was trained to speak as strangers: whom its requests name, and the guidance of text and speaker."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("soundfile")
import tiny_voice

from latent.data.vocabulary import VOICE_END
from latent.synthesis.latent_voice import LatentVoice
from s2s.errors import ConfigError

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
