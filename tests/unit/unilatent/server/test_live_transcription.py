"""The WebSocket of VibeVoice-ASR-Streaming: text while audio arrives, what clients do wrong, and the limits."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import threading
import time
import wave
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from socket import SHUT_RDWR
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("soxr")
import tiny_listener
from serving import TEXT_RUN, Running, running

from latent.audio.g711 import expanded
from latent.recognition.live import LiveChunk, LiveTranscript
from latent.recognition.recognizer import Recognizer
from latent.recognition.transcript import Transcript
from unilatent.server.limits import Limits
from unilatent.server.metrics import Metrics
from unilatent.server.models import RecognitionModel, open_model

client = pytest.importorskip("websockets.sync.client")
exceptions = pytest.importorskip("websockets.exceptions")

RATE = 24_000
TALK = (8000 * np.random.default_rng(5).standard_normal(40_000)).clip(-32768, 32767).astype("<i2")
PCM = {"model": "live", "encoding": "pcm16", "sample_rate": RATE}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("listeners")
    tiny_listener.write_listener(folder / "live", streaming=True)
    tiny_listener.write_listener(folder / "whole", ["assistant\n", "[]"])
    tiny_listener.write_listener(folder / "chain", ["\nSpeaker 0:", "Good. "], streaming=True)
    return folder


@pytest.fixture(scope="module")
def recognizer(home: Path) -> Recognizer:
    """A recognizer whose text depends on what it hears."""
    return Recognizer.load(home / "live", device="cpu", max_tokens=3)


@pytest.fixture(scope="module")
def server(home: Path, recognizer: Recognizer) -> Iterator[Running]:
    limits, metrics = Limits(), Metrics()
    paths = {"chain": home / "chain", "whole": home / "whole", "words": TEXT_RUN}
    models = [open_model(name, str(path), "cpu", {}, False, limits, metrics) for name, path in paths.items()]
    models.append(RecognitionModel("live", "live", recognizer, limits, metrics))
    with running(models, limits, metrics) as server:
        yield server
        assert follow(server, [TALK.tobytes()])[-1]["done"], "after all that, the server still listens"


@contextlib.contextmanager
def serving(recognizer: Recognizer, **limits: Any) -> Iterator[Running]:
    given, metrics = replace(Limits(), **limits), Metrics()
    with running([RecognitionModel("live", "live", recognizer, given, metrics)], given, metrics) as server:
        yield server


def connect(server: Running, **more: Any) -> Any:
    return client.connect(f"ws://127.0.0.1:{server.port}/v1/stream", open_timeout=20, **more)


def follow(server: Running, pieces: Sequence[bytes], options: dict[str, Any] = PCM) -> list[dict[str, Any]]:
    """All messages of the server to a client that sends these pieces, then `end`."""
    with connect(server) as socket:
        socket.send(json.dumps(options))
        for piece in pieces:
            socket.send(piece)
        socket.send("end")
        return [json.loads(message) for message in socket]


def error_of(server: Running, *messages: str | bytes) -> tuple[str, int]:
    """The line of an error, which comes alone, and the code with which the connection is closed."""
    with connect(server) as socket:
        with contextlib.suppress(exceptions.ConnectionClosed):
            for message in messages:
                socket.send(message)
        told = []
        with contextlib.suppress(exceptions.ConnectionClosed):
            told += iter(socket)
        assert len(told) == 1, told
        (line,) = json.loads(told[0]).values()
        return line, socket.close_code


def streamed(recognizer: Recognizer, samples: Any, rate: int) -> tuple[list[str], Transcript]:
    """Texts and transcript as `transcribe --stream` has them."""
    live = recognizer.follow(rate)
    chunks = [*live.push(samples), *live.close()]
    return [chunk.text for chunk in chunks], live.transcript()


def wav(rate: int = RATE, channels: int = 1) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        file.writeframes(TALK.repeat(channels).tobytes())
    return content.getvalue()


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


CALL = (TALK % 256).astype(np.uint8).tobytes()
ENCODED = {
    "pcm16": (TALK.tobytes(), PCM),
    "telephone": (TALK.tobytes(), {**PCM, "sample_rate": 8000}),
    "float32": ((TALK.astype("<f4") / 32768).tobytes(), {"model": "live", "temperature": 0.0, "max_tokens": 256}),
    "wav": (wav(16_000, 2), {"model": "live", "encoding": "wav"}),
    "g711": (CALL, {"model": "live", "encoding": "g711_alaw"}),
}
RATES = {"pcm16": RATE, "telephone": 8000, "float32": RATE, "wav": 16_000, "g711": 8000}


@settings(max_examples=10, deadline=None)
@given(st.sampled_from(list(ENCODED)), st.lists(st.floats(0, 1), max_size=6).map(sorted))
def test_the_words_are_those_of_the_command_however_the_bytes_are_cut(
    server: Running, recognizer: Recognizer, name: str, places: list[float]
) -> None:
    content, options = ENCODED[name]
    cuts = [0, *(round(place * len(content)) for place in places), len(content)]
    *chunks, last = follow(server, [content[a:b] for a, b in itertools.pairwise(cuts)], options)
    samples = expanded(CALL, "a") if name == "g711" else TALK.astype(np.float32) / 32768
    texts, transcript = streamed(recognizer, samples, RATES[name])
    assert [chunk["text"] for chunk in chunks] == texts
    assert [chunk["chunk"] for chunk in chunks] == list(range(len(texts)))
    assert last["text"] == "".join(texts)
    assert (last["done"], last["total_chunks"]) == (True, len(texts))
    found = [(one["Start"], one["End"], one["Content"]) for one in last["segments"]]
    assert found == [(one.start, one.end, one.text) for one in transcript.segments]


def test_text_with_speakers_and_times_comes_while_audio_arrives(server: Running) -> None:
    with connect(server) as socket:
        socket.send(json.dumps({**PCM, "model": "chain"}))
        socket.send(TALK[:9600].tobytes())  # a window of 2 + 1 frames
        first = json.loads(socket.recv(timeout=20))
        assert (first["chunk"], first["text"], first["start"]) == (0, "\nSpeaker 0:Good. ", 0.0)
        assert [(one["Speaker"], one["Content"]) for one in first["segments"]] == [("0", "Good.")]
        assert first["end"] == pytest.approx(6400 / RATE, abs=1e-3)
        socket.send("end")
        *_, last = [json.loads(message) for message in socket]
    assert last["audio_duration"] == 0.4
    assert last["srt"].startswith("1\n00:00:00,000 --> 00:00:00,400\n")
    assert last["text"] == "\nSpeaker 0:Good. \nSpeaker 0:Good. "


def test_streams_side_by_side_do_not_disturb_each_other(server: Running, recognizer: Recognizer) -> None:
    talks = [np.roll(TALK, 977 * number) for number in range(4)]
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(connect(server)) for _ in talks]
        for socket in sockets:
            socket.send(json.dumps(PCM))
        for start in range(0, len(TALK), 5000):
            for socket, talk in zip(sockets, talks, strict=True):
                socket.send(talk[start : start + 5000].tobytes())
        for socket in sockets:
            socket.send("end")
        found = [json.loads(list(socket)[-1])["text"] for socket in sockets]
    assert found == ["".join(streamed(recognizer, talk.astype(np.float32) / 32768, RATE)[0]) for talk in talks]
    assert len(set(found)) > 1


def test_a_stream_without_audio_has_no_text(server: Running) -> None:
    (last,) = follow(server, [])
    assert (last["done"], last["text"], last["segments"], last["total_chunks"]) == (True, "", [], 0)


def test_clients_learn_the_sample_rate(server: Running) -> None:
    found = server.client.get("/v1/config", params={"model": "live"}).json()
    assert found == {"model": "live", "sample_rate": RATE, "chunk_seconds": 0.2667}
    assert "one of chain, live" in server.client.get("/v1/config").json()["error"]["message"]
    shown = {one["id"]: one.get("live") for one in server.client.get("/v1/models").json()["data"]}
    assert shown == {"live": True, "chain": True, "whole": False, "words": None}


WRONG: list[tuple[str | bytes, str]] = [
    (b"\0\0", "the first message must be text, a JSON object with the options"),
    ("end", "the options: "),
    ("[1]", "the options: "),
    ('{"sample_rat": 8000}', "sample_rat: no such option. Did you mean 'sample_rate'?"),
    ('{"encoding": "mp3"}', "encoding: must be 'float32', 'pcm16', 'g711_ulaw', 'g711_alaw' or 'wav', found 'mp3'"),
    ('{"model": "live", "sample_rate": 3}', "sample_rate: must be greater than or equal to 1000"),
    ('{"model": "live", "encoding": "wav", "sample_rate": 8000}', "sample_rate: must be left out"),
    ('{"temperature": 0.7}', "temperature: must be less than or equal to 0"),
    ("{}", "model: must be given, one of chain, live"),
    ('{"model": "lvie"}', "model: no model is called 'lvie'. Did you mean 'live'?"),
    ('{"model": "words"}', "model: 'words' generates text and does not listen"),
    ('{"model": "whole"}', "model: 'whole' hears whole recordings only; send it to /v1/audio/transcriptions"),
]


@pytest.mark.parametrize(("message", "line"), WRONG, ids=[line[:24] for _, line in WRONG])
def test_wrong_options(server: Running, message: str | bytes, line: str) -> None:
    told, code = error_of(server, message)
    assert (told[: len(line)], code) == (line, 1008)


def test_too_many_hot_words(server: Running) -> None:
    told, _ = error_of(server, json.dumps({**PCM, "context_info": "word, " * 3400 + "x"}))
    assert told.startswith("context_info: must have at most 20,000 characters")


AUDIO: list[tuple[dict[str, Any], list[str | bytes], str]] = [
    ({"encoding": "wav"}, [b"ID3 this is no WAV"], "audio: must be a WAV stream, found b'ID3 '"),
    ({"encoding": "wav"}, [wav()[:20], "end"], "audio: ends within the header of a WAV file"),
    ({}, [np.array([0, np.nan], "<f4").tobytes()], "audio: a sample is no finite number; is this really raw audio?"),
    ({}, ['{"type": "stop"}'], "a text message must be 'end'; audio comes as bytes"),
]


@pytest.mark.parametrize(("options", "messages", "line"), AUDIO, ids=[line[:30] for *_, line in AUDIO])
def test_wrong_audio(server: Running, options: dict[str, Any], messages: list[str | bytes], line: str) -> None:
    told, code = error_of(server, json.dumps({"model": "live", **options}), *messages)
    assert (told[: len(line)], code) == (line, 1008)


class Held(Recognizer):
    """Follows streams whose chunks last a thousand samples, and waits before each until it is let go."""

    name, sample_rate, max_seconds, is_live, chunk_seconds = "held", RATE, 3600.0, True, 1000 / RATE

    def __init__(self, go: Any = None) -> None:
        self.go, self.open = go or threading.Event(), 0

    def fingerprint(self) -> dict[str, Any]:
        return {}

    def recognize(self, requests: Any) -> Any:
        raise AssertionError

    def follow(self, sample_rate: int, context: str = "") -> HeldTranscript:
        return HeldTranscript(self)


class HeldTranscript(LiveTranscript):
    def __init__(self, held: Held) -> None:
        super().__init__(RATE, RATE)
        self.held, self.waiting = held, 0
        held.open += 1

    def __del__(self) -> None:
        self.held.open -= 1

    def transcript(self) -> Transcript:
        return Transcript([], self.seconds)

    def _hear(self, samples: Any) -> Iterator[LiveChunk]:
        self.waiting += len(samples)
        while self.waiting >= 1000:
            self.waiting -= 1000
            go = self.held.go
            assert go.wait(20) if isinstance(go, threading.Event) else go.acquire(timeout=20)
            if samples[0] == 1.0:
                raise RuntimeError("out of memory")
            yield LiveChunk(0.0, 0.0, "x", [("?", "x")], [], 0.0)

    def _end(self) -> Iterator[LiveChunk]:
        yield from ()


def test_a_client_that_goes_away_frees_everything() -> None:
    held = Held()
    with serving(held) as server:
        model: Any = server.service.models["live"]
        for abrupt in (False, True):
            socket = connect(server)
            socket.send("{}")
            socket.send(bytes(4 * 10_000))
            wait_until(lambda: held.open == 1)
            assert 'unilatent_open_streams{model="live"} 1.0' in server.client.get("/metrics").text
            if abrupt:
                socket.socket.shutdown(SHUT_RDWR)
            else:
                socket.close()
            held.go.set()
            wait_until(lambda: model._following == model.worker.open_answers == held.open == 0)
            held.go.clear()
        assert not model.worker._running
        assert not any(map(len, model.worker._sessions.values()))


def test_so_many_streams_and_no_more_then_there_is_room_again() -> None:
    held = Held()
    held.go.set()
    with serving(held, streams=1) as server:
        with connect(server) as first:
            first.send("{}")
            first.send(bytes(4 * 1000))
            assert json.loads(first.recv(timeout=20))["text"] == "x"
            assert error_of(server, "{}") == ("'live' follows 1 recordings already; try again later", 1008)
        wait_until(lambda: server.service.models["live"]._following == 0)  # type: ignore[attr-defined]
        assert follow(server, [bytes(4 * 2000)], {})[-1]["total_chunks"] == 2


def test_a_fault_of_one_stream_is_told_there_and_spoils_no_other() -> None:
    held = Held()
    with serving(held) as server, connect(server) as good:
        good.send("{}")
        good.send(bytes(4 * 3000))
        with connect(server) as bad:
            bad.send("{}")
            bad.send(np.ones(3000, "<f4").tobytes())
            held.go.set()
            told = json.loads(bad.recv(timeout=20))["error"]
            assert told.startswith("the server failed; its log says why, at request ")
            with pytest.raises(exceptions.ConnectionClosed):
                bad.recv(timeout=20)
            assert bad.close_code == 1011
        good.send("end")
        assert json.loads(list(good)[-1])["total_chunks"] == 3


def test_much_that_is_unheard_makes_the_sender_wait_and_nothing_is_lost() -> None:
    held = Held()
    with serving(held, upload_bytes=4000) as server, connect(server) as socket:
        socket.send("{}")
        sent = []

        def send() -> None:
            for _ in range(400):
                socket.send(bytes(4 * 10_000))
                sent.append(1)
            socket.send("end")

        sender = threading.Thread(target=send)
        sender.start()
        time.sleep(0.5)
        assert len(sent) < 400, "the sender waits"
        held.go.set()
        messages = [json.loads(message) for message in socket]
        sender.join(20)
    assert messages[-1]["total_chunks"] == 4000


def test_a_long_recording_does_not_hold_up_a_stream() -> None:
    held = Held(threading.Semaphore(0))

    def until(condition: Any) -> None:
        """Let chunks go, one by one, until something holds."""
        for _ in range(300):
            if condition():
                return
            held.go.release()
            time.sleep(0.02)
        raise AssertionError

    with serving(held, max_rows=4) as server, ThreadPoolExecutor(4) as pool:
        worker = server.service.models["live"].worker
        uploads = [pool.submit(upload, server) for _ in range(3)]
        until(lambda: len(worker._rows) == 2 and len(worker._waiting) == 1)
        stream = pool.submit(follow, server, [bytes(4 * 2000)], {})
        until(stream.done)
        assert stream.result()[-1]["total_chunks"] == 2
        assert not any(one.done() for one in uploads)
        held.go.release(3000)
        assert [one.result().json()["usage"]["seconds"] for one in uploads] == [16.667] * 3


def upload(server: Running) -> Any:
    """The answer about a recording of 400 chunks of `Held`."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(TALK.tobytes() * 10)
    files = {"file": ("talk.wav", content.getvalue())}
    return server.client.post("/v1/audio/transcriptions", data={"model": "live"}, files=files)


def test_silence_and_endless_recordings_are_ended() -> None:
    held = Held()
    held.go.set()
    with serving(held, silent_seconds=0.2, stream_seconds=1.0) as server:
        assert error_of(server) == ("nothing came for 0.2 seconds", 1008)
        assert error_of(server, "{}") == ("nothing came for 0.2 seconds", 1008)
        assert error_of(server, "{}", bytes(4 * (RATE + 1))) == (
            "audio: lasts more than 1 seconds; end here and begin another",
            1008,
        )


def test_a_message_that_is_too_large_ends_the_connection() -> None:
    with serving(Held(), message_bytes=1000) as server, connect(server) as socket:
        socket.send("{}")
        socket.send(bytes(4000))
        with pytest.raises(exceptions.ConnectionClosed):
            socket.recv(timeout=20)
        assert socket.close_code == 1009


def test_only_the_key_and_the_own_page_open_a_connection(
    recognizer: Recognizer, caplog: pytest.LogCaptureFixture
) -> None:
    limits, metrics = Limits(), Metrics()
    models = [RecognitionModel("live", "live", recognizer, limits, metrics)]

    def refused(**more: Any) -> tuple[int, str]:
        with pytest.raises(exceptions.InvalidStatus) as caught, connect(server, **more):
            pass
        return caught.value.response.status_code, json.loads(caught.value.response.body)["error"]["message"]

    with running(models, limits, metrics, "a key", hosts=["127.0.0.1"], origins=["https://page.example"]) as server:
        bearer = {"additional_headers": {"authorization": "Bearer a key"}}
        own = f"http://127.0.0.1:{server.port}"
        assert refused() == (401, "authorization: the header must be 'Bearer KEY'")
        assert refused(subprotocols=["realtime", "openai-insecure-api-key.b"])[0] == 401
        assert refused(**bearer, origin="https://evil.example") == (
            403,
            "origin: pages of https://evil.example may not use this server; --cors-origin allows one",
        )
        with server.connect() as raw:
            url = f"ws://evil.example:{server.port}/v1/stream"
            with pytest.raises(exceptions.InvalidStatus, match="403"):
                client.connect(url, sock=raw)
        allowed: list[dict[str, Any]] = [
            bearer,
            {**bearer, "origin": own},
            {**bearer, "origin": "https://page.example"},
        ]
        for more in allowed:
            with connect(server, **more) as socket:
                assert socket.subprotocol is None
        with connect(server, subprotocols=["realtime", "openai-insecure-api-key.a%20key"], origin=own) as socket:
            assert socket.subprotocol == "realtime"
        assert 'endpoint="/v1/stream",status="101"' in server.client.get("/metrics").text
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_server_that_stops_ends_its_streams() -> None:
    with serving(Held()) as server, connect(server) as socket:
        socket.send("{}")
        server.stop()
        with pytest.raises(exceptions.ConnectionClosed):
            socket.recv(timeout=20)
        assert socket.close_code == 1012


def test_an_idle_connection_outlives_the_time_for_a_head(recognizer: Recognizer) -> None:
    with serving(recognizer, header_seconds=0.2) as server, connect(server) as socket:
        time.sleep(0.5)
        socket.send("{}")
        socket.send("end")
        assert json.loads(list(socket)[-1])["done"]
