"""A running server, and the clients that it is for."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from serving import Running
from tiny_voice import RATE


def test_the_answer_is_what_the_voice_says(server: Running, voice: Path) -> None:
    from latent.audio.growing_wav import pcm_16
    from latent.synthesis.voices import open_voice

    answer = server.speech(seed=3)
    assert answer.status_code == 200
    assert answer.headers["unilatent-sample-rate"] == str(RATE)
    opened = open_voice(voice)
    expected = opened.say(opened.request("x", "Good morning.", "ann", seed=3))
    assert np.array_equal(np.frombuffer(answer.content, "<i2"), pcm_16(expected))


@pytest.mark.parametrize("form", ["wav", "flac", "opus", "mp3"])
def test_every_format_can_be_read_and_says_that_it_is_synthetic(server: Running, form: str) -> None:
    import soundfile

    plain = server.speech()
    answer = server.speech(response_format=form)
    with soundfile.SoundFile(io.BytesIO(answer.content)) as file:
        assert "Synthetic speech" in file.comment
        rate = file.samplerate
    from latent.audio.files import AudioBytes, load_audio

    samples = load_audio(AudioBytes(f"answer.{form}", answer.content), rate)
    assert len(samples) / rate == pytest.approx(len(plain.content) / 2 / RATE, abs=0.4 if form == "mp3" else 0.01)
    assert answer.headers["unilatent-provenance"].startswith("Synthetic speech")


def test_models_and_voices_are_listed(server: Running) -> None:
    models = server.client.get("/v1/models").json()
    assert [(item["id"], item["kind"]) for item in models["data"]] == [("tiny", "speech"), ("words", "text")]
    voices = server.client.get("/v1/audio/voices", params={"model": "tiny"}).json()
    assert [item["id"] for item in voices["data"]] == ["ann", "bob"]


def test_text_has_its_best_outputs_with_scores(server: Running) -> None:
    found = server.generate(input=["reads text", "a library"], num_hypotheses=3).json()
    assert found["object"] == "generation"
    for output in found["outputs"]:
        scores = [item["score"] for item in output["nbest"]]
        assert len(scores) == 3
        assert scores == sorted(scores, reverse=True)
        assert (output["text"], output["score"]) == tuple(output["nbest"][0].values())
