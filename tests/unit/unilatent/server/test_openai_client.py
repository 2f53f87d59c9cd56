"""The unmodified OpenAI client against a running server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import Running, serving

from unilatent.server.speech_jobs import SpeechJob

openai = pytest.importorskip("openai")


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_it_lists_the_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny", "words"]
    assert client.models.retrieve("words").owned_by == "unilatent"


@pytest.mark.parametrize("form", ["mp3", "opus", "flac", "wav", "pcm"])
def test_it_gets_speech_whole_and_streamed(client: openai.OpenAI, form: str, tmp_path: Path) -> None:
    asked = {"model": "tiny", "voice": "ann", "input": "Good morning. Two, three.", "response_format": form}
    whole = client.audio.speech.create(**asked)
    whole.write_to_file(tmp_path / "whole")
    with client.audio.speech.with_streaming_response.create(**asked) as answer:
        pieces = list(answer.iter_bytes())
        answer.close()
    if form == "opus":  # every Ogg stream has a serial number of its own
        assert len(b"".join(pieces)) == len(whole.content)
    else:
        assert b"".join(pieces) == whole.content == (tmp_path / "whole").read_bytes()


def test_the_first_audio_is_heard_before_the_last_is_made(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard, original = threading.Event(), SpeechJob.receive

    def receive(job: SpeechJob, item: object) -> bool:
        ended = original(job, item)
        assert heard.wait(10)
        return ended

    monkeypatch.setattr(SpeechJob, "receive", receive)
    asked = {"model": "tiny", "voice": "ann", "input": "Good morning.", "response_format": "wav"}
    with client.audio.speech.with_streaming_response.create(**asked) as answer:
        assert next(answer.iter_bytes())
        heard.set()


def test_it_gets_events(client: openai.OpenAI) -> None:
    import base64
    import json

    asked = {"model": "tiny", "voice": "ann", "input": "Good morning.", "response_format": "pcm"}
    with client.audio.speech.with_streaming_response.create(**asked, stream_format="sse") as answer:
        events = [json.loads(line.removeprefix("data: ")) for line in answer.iter_lines() if line]
    assert [event["type"] for event in events][-1] == "speech.audio.done"
    audio = b"".join(base64.b64decode(event["audio"]) for event in events[:-1])
    assert audio == client.audio.speech.create(**asked).content


def test_it_gets_completions(client: openai.OpenAI, server: Running) -> None:
    found = client.completions.create(model="words", prompt=["reads text", "a library"], n=2, max_tokens=5)
    assert [choice.index for choice in found.choices] == [0, 1, 2, 3]
    same = server.generate(input="reads text", num_hypotheses=2, decoder={"max_length": 5}).json()["outputs"][0]
    assert found.choices[0].text == same["text"]
    drawn = [client.completions.create(model="words", prompt="reads", temperature=1, seed=s) for s in (1, 1, 2, 3)]
    texts = [one.choices[0].text for one in drawn]
    assert texts[0] == texts[1]
    assert len(set(texts)) > 1


def test_its_errors_are_of_the_right_class(client: openai.OpenAI, voice: Path) -> None:
    with pytest.raises(openai.NotFoundError, match="no model is called 'tts-1'") as missing:
        client.audio.speech.create(model="tts-1", voice="alloy", input="Hello.")
    assert missing.value.code == "model_not_found"
    assert missing.value.param == "model"
    assert missing.value.request_id
    with pytest.raises(openai.BadRequestError, match="stream: must be False"):
        client.completions.create(model="words", prompt="a", stream=True)
    with serving(voice, api_key="secret") as server, openai.OpenAI(base_url=f"{server.url}/v1", api_key="x") as other:
        with pytest.raises(openai.AuthenticationError):
            other.models.list()
        assert other.with_options(api_key="secret").models.list().data
