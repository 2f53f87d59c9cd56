"""A running server, and the clients that it is for."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from serving import TEXT_RUN, Running, running, serving
from tiny_voice import RATE, write_timed_voice

from latent.synthesis.consent import NoConsent
from latent.synthesis.voices import open_voice
from s2s.errors import InputError
from s2s.generation.generator import Generator
from unilatent.server.limits import Limits
from unilatent.server.metrics import Metrics
from unilatent.server.models import SpeechModel, TextModel, open_model


def test_the_answer_is_what_the_voice_says(server: Running, voice: Path) -> None:
    from latent.audio.growing_wav import pcm_16

    answer = server.speech(seed=3)
    assert answer.status_code == 200
    assert answer.headers["unilatent-sample-rate"] == str(RATE)
    opened = open_voice(voice)
    expected = opened.say(opened.request("x", "Good morning.", "ann", seed=3)).samples
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


def test_several_outputs_can_be_drawn_without_repeats(server: Running) -> None:
    options = {"name": "stochastic_beam", "max_length": 5, "seed": 3}
    (output,) = server.generate(input="reads text", num_hypotheses=3, decoder=options).json()["outputs"]
    assert 1 <= len({item["text"] for item in output["nbest"]}) == len(output["nbest"]) <= 3


def test_outputs_contain_the_phrases_that_are_asked_of_them(server: Running) -> None:
    asked = {"input": ["reads text", "a library"], "decoder": {"name": "constrained_beam", "max_length": 12}}
    plain = [output["text"] for output in server.generate(**asked).json()["outputs"]]
    assert not any("fast" in text or "images" in text for text in plain)
    same = [output["text"] for output in server.generate(**asked, constraints=["fast"]).json()["outputs"]]
    assert all("fast" in text for text in same)
    outputs = server.generate(**asked, constraints=[["fast", "images"], []]).json()["outputs"]
    assert "fast" in outputs[0]["text"]
    assert "images" in outputs[0]["text"]
    assert outputs[1]["text"] == plain[1]
    alone = Generator.load(TEXT_RUN, name="constrained_beam", max_length=12)
    record = {"src": "reads text", "constraints": ["fast", "images"]}
    assert alone.generate(record).text == outputs[0]["text"]


def test_a_script_sounds_as_on_the_command_line(server: Running, voice: Path, tmp_path: Path) -> None:
    from latent.audio.files import load_audio
    from latent.audio.growing_wav import pcm_16
    from latent.longform.cast import Role
    from latent.longform.long_form import synthesize_script

    script = "anna: Good morning. [pause 0.3] So.\nbob: Never mind the weather.\nanna: Two, three."
    (tmp_path / "talk.txt").write_text(script)
    synthesize_script(
        open_voice(voice), tmp_path / "talk.txt", tmp_path / "talk.wav", {"anna": Role("ann")}, picture=False
    )
    asked = {"model": "tiny", "input": script, "cast": {"anna": "ann"}, "response_format": "pcm"}
    answer = server.client.post("/v1/audio/script", json=asked)
    expected = pcm_16(load_audio(tmp_path / "talk.wav", RATE))
    assert len(expected) * 2 == len(answer.content)
    assert np.abs(np.frombuffer(answer.content, "<i2").astype(int) - expected).max() <= 1


def test_a_voice_with_cues_speaks_faster_and_slower(tmp_path: Path) -> None:
    folder = write_timed_voice(tmp_path)
    opened = open_voice(folder)
    request = opened.request("x", "Good morning.", "ann")
    for speed in (0.5, 2.0):
        paced = opened.paced(request, speed)
        assert paced.expected_frames == pytest.approx(request.expected_frames / speed, abs=1)
        assert np.allclose(paced.timing.durations, request.timing.durations / speed)
        assert paced.tokens == request.tokens
    with serving(folder) as server:
        contents = [server.speech(speed=speed).content for speed in (0.5, 1, 2)]
        assert len(set(contents)) == 3
        assert "speed: must be 0.5 to 2, found 3" in server.speech(speed=3).text


def test_other_pages_are_let_in_only_if_they_are_named(server: Running, voice: Path) -> None:
    asked = {"origin": "https://example.org", "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in server.client.get("/v1/models", headers=asked).headers
    with serving(voice, origins=["https://example.org"]) as open_server:
        answer = open_server.client.options("/v1/generate", headers=asked)
        assert answer.headers["access-control-allow-origin"] == "https://example.org"
        other = open_server.client.options("/v1/generate", headers=asked | {"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


def test_the_page_asks_no_other_host(server: Running) -> None:
    page = server.client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert server.client.get("/page.js").status_code == 200
    assert server.client.get("/../setup.py").status_code == 404


def test_health_and_figures(server: Running) -> None:
    server.speech()
    assert server.client.get("/health").json() == {"status": "ok", "models": {"tiny": "ok", "words": "ok"}}
    figures = server.client.get("/metrics").text
    for name in ("requests_total", "queue_requests", "batch_rows", "first_audio_seconds", "real_time_factor"):
        assert f"unilatent_{name}" in figures
    assert 'unilatent_requests_total{endpoint="/v1/audio/speech",status="200"}' in figures


def test_a_recording_needs_consent_before_it_is_a_voice(voice: Path, tmp_path: Path) -> None:
    recording = next((voice.parent / "recordings").glob("*.wav"))
    shutil.copy(recording, tmp_path / "anna.wav")
    limits, metrics, recordings = Limits(), Metrics(), {"anna": tmp_path / "anna.wav"}
    with pytest.raises(NoConsent):
        open_model("tiny", str(voice), "cpu", recordings, False, limits, metrics)
    model = open_model("tiny", str(voice), "cpu", recordings, True, limits, metrics)
    assert (tmp_path / "anna.wav.consent.json").exists()
    with running([model], limits, metrics) as server:
        assert server.speech(voice="anna").content != server.speech(voice="ann").content


def test_models_are_served_in_the_precision_that_is_asked_for(voice: Path) -> None:
    limits, metrics = Limits(), Metrics()
    text, speech = (
        open_model("m", str(folder), "cpu", {}, False, limits, metrics, "bfloat16") for folder in (TEXT_RUN, voice)
    )
    assert isinstance(text, TextModel)
    assert text.generator.settings["precision"] == "bfloat16"
    with running([text], limits, metrics) as server:
        found = server.generate(model="m", input="reads text").json()["outputs"][0]["text"]
    assert found == Generator.load(TEXT_RUN, precision="bfloat16").generate("reads text").text
    assert isinstance(speech, SpeechModel)
    assert "bfloat16" in str(speech.voice.fingerprint())
    speech.worker.stop()


def test_presets_of_realtime_are_voices(tmp_path: Path) -> None:
    import tiny_realtime

    from latent.decoding.vibevoice_realtime import RealtimeDecoder

    folder = tiny_realtime.write_realtime(tmp_path / "realtime")
    limits, metrics, presets = Limits(), Metrics(), {"emma": folder / "voice.pt", "carl": folder / "voice.safetensors"}
    with pytest.raises(InputError, match=r"no speakers of its own; give --voice .*NAME=PRESET"):
        open_model("live", str(folder), "cpu", {}, False, limits, metrics)
    model = open_model("live", str(folder), "cpu", presets, False, limits, metrics)
    assert isinstance(model, SpeechModel)
    model.voice._decoder = RealtimeDecoder(RealtimeDecoder.Config(num_inference_steps=2, max_seconds=0.005))
    with running([model], limits, metrics) as server:
        listed = server.client.get("/v1/audio/voices").json()["data"]
        assert [voice["id"] for voice in listed] == ["emma", "carl"]
        spoken = [server.speech(model="live", voice=name).content for name in ("emma", "carl")]
    assert spoken[0] == spoken[1]
    assert len(spoken[0]) >= 2 * 16, "at least one frame"
