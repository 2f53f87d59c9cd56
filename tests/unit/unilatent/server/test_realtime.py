"""Live transcription with the unmodified OpenAI client, and what clients of its Realtime API do wrong."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("soxr")
pytest.importorskip("websockets")
import tiny_listener
from serving import Running, running

from latent.audio.g711 import expanded
from latent.recognition.recognizer import Recognizer
from latent.recognition.transcript import Transcript
from unilatent.server.limits import Limits
from unilatent.server.metrics import Metrics
from unilatent.server.models import RecognitionModel

client = pytest.importorskip("websockets.sync.client")
exceptions = pytest.importorskip("websockets.exceptions")
openai = pytest.importorskip("openai")

RATE = 24_000
TALK = (8000 * np.random.default_rng(5).standard_normal(40_000)).clip(-32768, 32767).astype("<i2")
TOLD = "conversation.item.input_audio_transcription"


@pytest.fixture(scope="module")
def recognizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recognizer]:
    """One whose text depends on what it hears, and one that writes a sentence of each speaker in turn."""
    folder = tmp_path_factory.mktemp("listeners")
    tiny_listener.write_listener(folder / "live", streaming=True)
    tiny_listener.write_listener(folder / "turns", ["\nSpeaker 0:", "Good. ", "\nSpeaker 1:", "Fine. "], streaming=True)
    loaded = {name: Recognizer.load(folder / name, device="cpu", max_tokens=4) for name in ("live", "turns")}
    return loaded


@pytest.fixture(scope="module")
def server(recognizers: dict[str, Recognizer]) -> Iterator[Running]:
    limits, metrics = Limits(), Metrics()
    models = [RecognitionModel(name, name, one, limits, metrics) for name, one in recognizers.items()]
    with running(models, limits, metrics) as server:
        yield server


def told_by(recognizer: Recognizer, samples: Any, rate: int) -> Transcript:
    live = recognizer.follow(rate)
    for _ in (*live.push(samples.astype(np.float32) / 32768), *live.close()):
        pass
    return live.transcript()


def in_base64(samples: Any) -> str:
    return base64.b64encode(samples.tobytes()).decode()


@contextlib.contextmanager
def connected(server: Running, query: str = "?model=live") -> Iterator[Any]:
    """A connection that has been greeted."""
    with client.connect(f"ws://127.0.0.1:{server.port}/v1/realtime{query}", open_timeout=20) as socket:
        assert receive(socket)["type"] == "session.created"
        yield socket


def receive(socket: Any) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(socket.recv(timeout=20))
    assert event.pop("event_id").startswith("event_")
    return event


def send(socket: Any, type: str, **content: Any) -> None:
    socket.send(json.dumps({"type": type, **content}))


@settings(max_examples=5, deadline=None)
@given(st.lists(st.integers(0, len(TALK)), max_size=4).map(sorted), st.sampled_from([8000, RATE]))
def test_the_openai_client_gets_the_words_of_the_command_however_it_cuts_the_audio(
    server: Running, recognizers: dict[str, Recognizer], cuts: list[int], rate: int
) -> None:
    heard = {"format": {"type": "audio/pcm", "rate": rate}, "transcription": {"model": "turns"}, "turn_detection": None}
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    with client, client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        connection.session.update(session={"type": "transcription", "audio": {"input": heard}})
        for piece in np.split(TALK, cuts):
            connection.input_audio_buffer.append(audio=in_base64(piece))
        connection.input_audio_buffer.commit()
        events = []
        while not events or events[-1].type != f"{TOLD}.completed":
            events.append(connection.recv())
    assert [event.type for event in events[:2]] == ["session.created", "session.updated"]
    assert events[1].session.audio.input.transcription.model == "turns"
    wanted = told_by(recognizers["turns"], TALK, rate)
    assert events[-1].transcript == wanted.text
    assert events[-1].usage.seconds == round(len(TALK) / rate, 3)
    deltas = [event.delta for event in events if event.type == f"{TOLD}.delta"]
    assert "".join(deltas).split() == wanted.text.split()
    assert len(deltas) > 1
    segments = [event for event in events if event.type == f"{TOLD}.segment"]
    found = [(one.start, one.end, one.speaker, one.text) for one in segments]
    assert found == [(one.start, one.end, one.speaker, one.text) for one in wanted.segments]
    (committed,) = [event for event in events if event.type == "input_audio_buffer.committed"]
    assert {event.item_id for event in events if event.type.startswith(TOLD)} == {committed.item_id}


def test_deltas_come_before_the_commit_and_items_follow_each_other(server: Running) -> None:
    with connected(server, "?model=turns&intent=transcription") as socket:
        send(socket, "input_audio_buffer.append", audio=in_base64(TALK[:9600]))
        delta = receive(socket)
        assert (delta["type"], delta["delta"]) == (f"{TOLD}.delta", " Good. Fine. ")
        send(socket, "input_audio_buffer.commit")
        send(socket, "input_audio_buffer.append", audio=in_base64(TALK[:100]))
        send(socket, "input_audio_buffer.commit")
        events = []
        while [event["type"] for event in events].count(f"{TOLD}.completed") < 2:
            events.append(receive(socket))
    first, second = [event for event in events if event["type"] == "input_audio_buffer.committed"]
    assert (first["item_id"], first["previous_item_id"]) == (delta["item_id"], None)
    assert second["previous_item_id"] == first["item_id"]
    done = [event for event in events if event["type"] == f"{TOLD}.completed"]
    assert [event["item_id"] for event in done] == [first["item_id"], second["item_id"]]
    assert [event["transcript"] for event in done] == ["Good. Fine. Good. Fine.", "Good. Fine."]


def call(*parts: tuple[float, float]) -> Any:
    """Noise at 8 kHz, as codes of the mu-law: pairs of seconds and dB re full scale."""
    generator = np.random.default_rng(7)
    loud = [10 ** (level / 20) * generator.standard_normal(round(8000 * seconds)) for seconds, level in parts]
    levels = expanded(bytes(range(256)), "mu")
    order = np.argsort(levels)
    places = np.searchsorted(levels[order], np.concatenate(loud)).clip(0, 255)
    return order[places].astype(np.uint8)


def test_the_server_finds_the_turns_of_a_telephone_call(server: Running, recognizers: dict[str, Recognizer]) -> None:
    spoken = call((0.6, -70), (1.0, -20), (0.8, -70), (0.9, -25), (0.9, -70))
    turns = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 200, "silence_duration_ms": 400}
    heard = {"format": {"type": "audio/pcmu"}, "transcription": {"model": "live"}, "turn_detection": turns}
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    with client, client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        connection.session.update(session={"type": "transcription", "audio": {"input": heard}})
        for piece in np.split(spoken, [1, 777, 9000, 20_000]):
            connection.input_audio_buffer.append(audio=in_base64(piece))
        events: list[Any] = []
        while [event.type for event in events].count(f"{TOLD}.completed") < 2:
            events.append(connection.recv())
    assert events[1].session.audio.input.turn_detection.silence_duration_ms == 400
    by_kind = {
        kind: [event for event in events if event.type == kind]
        for kind in ("input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped", f"{TOLD}.completed")
    }
    started, stopped, completed = by_kind.values()
    assert [event.audio_start_ms for event in started] == [400, 2200]
    assert [event.audio_end_ms for event in stopped] == [2000, 3700]
    assert [event.item_id for event in started] == [event.item_id for event in completed]
    samples = (32768 * expanded(spoken.tobytes(), "mu")).astype("<i2")
    wanted = [told_by(recognizers["live"], part, 8000).text for part in (samples[3200:16000], samples[17600:29600])]
    assert [event.transcript for event in completed] == wanted
    assert len(set(wanted)) == 2


def test_a_client_may_end_a_turn_that_the_server_found_and_change_how_turns_are_found(server: Running) -> None:
    with connected(server, "?model=turns") as socket:
        socket.send(json.dumps(session(format={"type": "audio/pcmu"}, turn_detection={"type": "server_vad"})))
        send(socket, APPEND, audio=in_base64(call((0.5, -70))))
        send(socket, "input_audio_buffer.commit")
        send(socket, APPEND, audio=in_base64(call((1.0, -20))))
        send(socket, "input_audio_buffer.commit")
        socket.send(json.dumps(session(turn_detection=None)))
        send(socket, APPEND, audio=in_base64(call((0.5, -70))))
        send(socket, "input_audio_buffer.commit")
        events = [receive(socket)]
        while [event["type"] for event in events].count(f"{TOLD}.completed") < 2:
            events.append(receive(socket))
    kinds = [event["type"] for event in events if not event["type"].startswith(TOLD)]
    buffer = "input_audio_buffer"
    assert kinds[:3] == ["session.updated", "error", f"{buffer}.speech_started"]
    assert kinds[3:] == [f"{buffer}.committed", "session.updated", f"{buffer}.committed"]
    (started,) = [event for event in events if event["type"] == f"{buffer}.speech_started"]
    assert started["audio_start_ms"] == 200, "of the whole session"


def test_what_is_cleared_is_forgotten(server: Running, recognizers: dict[str, Recognizer]) -> None:
    with connected(server) as socket:
        send(socket, "input_audio_buffer.append", audio=in_base64(TALK[:500]))
        send(socket, "input_audio_buffer.clear")
        assert receive(socket) == {"type": "input_audio_buffer.cleared"}
        send(socket, "input_audio_buffer.append", audio=in_base64(TALK[:7000]))
        send(socket, "input_audio_buffer.commit")
        while (event := receive(socket))["type"] != f"{TOLD}.completed":
            pass
        assert event["transcript"] == told_by(recognizers["live"], TALK[:7000], RATE).text


def session(**input: Any) -> dict[str, Any]:
    return {"type": "session.update", "session": {"type": "transcription", "audio": {"input": input}}}


APPEND = "input_audio_buffer.append"
WRONG: list[tuple[dict[str, Any] | list[int], str]] = [
    ([1], "the event: "),
    ({"type": "input_audio_bufer.append"}, "type: no such event 'input_audio_bufer.append'. Did you mean"),
    ({"type": "response.create"}, "type: no such event 'response.create'"),
    ({"type": "session.update"}, "session: must be a mapping of options"),
    ({"type": "session.update", "session": {"type": "realtime"}}, "session.type: must be 'transcription'"),
    (session(turn_detection={"type": "semantic_vad"}), "session.audio.input.turn_detection.type: must be 'server_vad'"),
    (session(turn_detection={"type": "server_vad", "threshold": 2}), "session.audio.input.turn_detection.threshold: "),
    (session(format={"type": "audio/opus"}), "session.audio.input.format.type: must be 'audio/pcm', 'audio/pcmu'"),
    (session(transcription={"model": "lvie"}), "model: no model is called 'lvie'. Did you mean 'live'?"),
    (session(transcription={"promt": "Tea"}), "session.audio.input.transcription.promt: no such option. Did you mean"),
    ({"type": APPEND}, "audio: must be text in base64"),
    ({"type": APPEND, "audio": "%%%"}, "audio: must be text in base64"),
    ({"type": APPEND, "audio": 7}, "audio: must be text in base64"),
    ({"type": "input_audio_buffer.commit"}, "nothing was appended since the last commit"),
]


@pytest.mark.parametrize(("event", "line"), WRONG, ids=[line[:40] for _, line in WRONG])
def test_a_wrong_event_is_told_and_the_conversation_goes_on(server: Running, event: Any, line: str) -> None:
    with connected(server) as socket:
        socket.send(json.dumps({**event, "event_id": "mine"} if isinstance(event, dict) else event))
        told = receive(socket)
        assert told["type"] == "error"
        assert told["error"]["message"].startswith(line), told
        assert told["error"]["event_id"] == ("mine" if isinstance(event, dict) else None)
        send(socket, "input_audio_buffer.clear")
        assert receive(socket)["type"] == "input_audio_buffer.cleared"


def test_an_unknown_model_is_refused_at_once_and_none_must_be_clear(server: Running) -> None:
    with client.connect(f"ws://127.0.0.1:{server.port}/v1/realtime?model=lvie") as socket:
        assert receive(socket)["error"]["code"] == "model_not_found"
        with pytest.raises(exceptions.ConnectionClosed):
            socket.recv(timeout=20)
    with connected(server, "") as socket:
        send(socket, APPEND, audio=in_base64(TALK[:10]))
        assert receive(socket)["error"]["message"] == "model: must be given, one of live, turns"


def test_an_item_that_is_too_long_fails_and_the_next_one_is_heard(recognizers: dict[str, Recognizer]) -> None:
    limits, metrics = replace(Limits(), stream_seconds=1.0), Metrics()
    model = RecognitionModel("live", "live", recognizers["live"], limits, metrics)
    with running([model], limits, metrics) as server, connected(server, "") as socket:
        send(socket, APPEND, audio=in_base64(TALK))
        failed = receive(socket)
        assert failed["type"] == f"{TOLD}.failed"
        assert failed["error"]["message"] == "audio: lasts more than 1 seconds; end here and begin another"
        send(socket, APPEND, audio=in_base64(TALK[:2000]))
        send(socket, "input_audio_buffer.commit")
        while receive(socket)["type"] != f"{TOLD}.completed":
            pass
        wait_until(lambda: model._following == 0)
        send(socket, APPEND, audio=in_base64(TALK[:2000]))
        wait_until(lambda: model._following == 1)
        socket.close()
        wait_until(lambda: model._following == model.worker.open_answers == 0 and not model.worker._running)


def test_a_silent_client_is_ended_with_an_error(recognizers: dict[str, Recognizer]) -> None:
    limits, metrics = replace(Limits(), silent_seconds=0.3), Metrics()
    with (
        running([RecognitionModel("live", "live", recognizers["live"], limits, metrics)], limits, metrics) as server,
        connected(server) as socket,
    ):
        assert receive(socket)["error"]["message"] == "nothing came for 0.3 seconds"


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
