"""Recordings to text over HTTP: the unmodified OpenAI client in every format, what clients do wrong, and the limits."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

pytest.importorskip("soxr")
pytest.importorskip("python_multipart")
pytest.importorskip("websockets")
import tiny_listener
from serving import TEXT_RUN, Running, error_of, running
from tiny_voice import write_recognizer

from latent.audio.files import Samples
from latent.recognition.recognizer import Recognizer
from latent.subtitles import Word
from unilatent.server.limits import Limits
from unilatent.server.metrics import Metrics
from unilatent.server.models import RecognitionModel, open_model

openai = pytest.importorskip("openai")
soundfile = pytest.importorskip("soundfile")

RATE = 24_000
CHAIN = ["assistant\n", '[{"Start":0.0,"End":1.25,"Speaker":0,"Content":"Hello."}']
CHAIN += [',{"Start":1.25,"End":2,"Speaker":1,', '"Content":"Hi."}', "]"]
PATH = "/v1/audio/transcriptions"


def recording(seconds: float = 2.0, seed: int = 0, format: str = "WAV") -> bytes:
    samples = 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format=format)
    return file.getvalue()


class Held(Recognizer):
    """Hears nothing before it is let go; its own list of what it was asked."""

    name, sample_rate, max_seconds = "held", RATE, 3600.0

    def __init__(self, recognizer: Recognizer) -> None:
        self.recognizer, self.go, self.batches_heard = recognizer, threading.Event(), list[int]()

    def fingerprint(self) -> dict[str, Any]:
        return {}

    def recognize(self, requests: Any) -> Any:
        self.batches_heard.append(len(requests))
        assert self.go.wait(20)
        yield from self.recognizer.recognize(requests)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("listeners")
    tiny_listener.write_listener(folder / "chain", CHAIN)
    tiny_listener.write_listener(folder / "live", ["Speaker 0:", "Good. "], streaming=True)
    return folder


@pytest.fixture(scope="module")
def free(tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    """A recognizer whose text depends on what it hears."""
    folder = tiny_listener.write_listener(tmp_path_factory.mktemp("free") / "free")
    return Recognizer.load(folder, device="cpu", tokens_per_second=0.5, extra_tokens=12)


@pytest.fixture(scope="module")
def server(home: Path, free: Recognizer) -> Iterator[Running]:
    limits, metrics = Limits(), Metrics()
    paths = {"chain": home / "chain", "live": home / "live", "words": TEXT_RUN}
    models = [open_model(name, str(path), "cpu", {}, False, limits, metrics) for name, path in paths.items()]
    models.append(RecognitionModel("free", "free", free, limits, metrics))
    with running(models, limits, metrics) as server:
        yield server
        assert transcribe(server).status_code == 200, "after all that, the server still listens"


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def transcribe(server: Running, content: bytes | None = None, **fields: Any) -> httpx.Response:
    files = {"file": ("talk.wav", recording() if content is None else content)}
    return server.client.post(PATH, data={"model": "chain", **fields}, files=files)


def test_the_client_gets_every_format(client: openai.OpenAI) -> None:
    def ask(form: str, **more: Any) -> Any:
        file = ("talk.wav", recording())
        return client.audio.transcriptions.create(model="chain", file=file, response_format=form, **more)

    plain = ask("json")
    assert (plain.text, plain.usage.seconds) == ("Hello. Hi.", 2.0)
    assert ask("text") == "Hello. Hi.\n"
    assert ask("srt") == (
        "1\n00:00:00,000 --> 00:00:01,250\nSpeaker 0: Hello.\n\n2\n00:00:01,250 --> 00:00:02,000\nSpeaker 1: Hi.\n"
    )
    assert ask("vtt").startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.250\n<v Speaker 0>Hello.\n")
    verbose = ask("verbose_json", language="en", timestamp_granularities=["segment"], temperature=0)
    assert (verbose.language, verbose.duration, verbose.text) == ("en", 2.0, "Hello. Hi.")
    times = [(one.id, one.start, one.end, one.text) for one in verbose.segments]
    assert times == [(0, 0.0, 1.25, "Hello."), (1, 1.25, 2.0, "Hi.")]
    diarized = ask("diarized_json", chunking_strategy="auto")
    assert [(one.speaker, one.text) for one in diarized.segments] == [("0", "Hello."), ("1", "Hi.")]
    assert [one.type for one in diarized.segments] == ["transcript.text.segment"] * 2


class Evenly:
    """Finds the first word of each segment in the first tenth of a second that it is given."""

    def fingerprint(self) -> str:
        return "evenly"

    def refusal(self, language: str | None) -> str | None:
        return "speaks no German" if language == "de" else None

    def words(self, text: str, samples: Samples, language: str | None) -> list[Word] | str | None:
        return [Word(text.split()[0], 0.0, 0.1)]


def test_the_client_gets_times_of_words(home: Path) -> None:
    limits, metrics = Limits(), Metrics()
    model = open_model("chain", str(home / "chain"), "cpu", {}, False, limits, metrics)
    with (
        running([model], limits, metrics, word_aligner=Evenly()) as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client,
    ):

        def ask(timed: list[str], **more: Any) -> Any:
            asked = {"model": "chain", "file": ("talk.wav", recording()), "response_format": "verbose_json", **more}
            return client.audio.transcriptions.create(**asked, timestamp_granularities=timed)

        both = ask(["segment", "word"])
        assert [(one.word, one.start, one.end) for one in both.words] == [("Hello.", 0.0, 0.1), ("Hi.", 1.25, 1.35)]
        assert [one.text for one in both.segments] == ["Hello.", "Hi."]
        assert ask(["word"]).segments is None
        assert ask(["segment"]).words is None
        unknown = ask(["word"], language="de")
        assert (unknown.words, unknown.warnings) == ([], ["no times of words: speaks no German"])


def test_models_say_that_they_listen(server: Running) -> None:
    shown = {one["id"]: one for one in server.client.get("/v1/models").json()["data"]}
    assert {name: one["kind"] for name, one in shown.items()} == {
        **dict.fromkeys(["chain", "live", "free"], "recognition"),
        "words": "text",
    }
    assert shown["chain"]["max_seconds"] > 0


def test_a_streaming_recognizer_hears_whole_recordings_too(client: openai.OpenAI, home: Path) -> None:
    found = client.audio.transcriptions.create(model="live", file=("talk.flac", recording(format="FLAC")))
    alone = Recognizer.load(home / "live", device="cpu").transcribe(soundfile.read(io.BytesIO(recording()))[0], RATE)
    assert found.text == alone.text != ""


def test_many_at_once_are_heard_as_each_alone(server: Running, free: Recognizer, tmp_path: Path) -> None:
    contents = [recording(seconds, seed) for seed, seconds in enumerate([0.4, 2.0, 1.1, 0.7, 0.4, 1.6])]
    with ThreadPoolExecutor(6) as pool:
        answers = pool.map(lambda content: transcribe(server, content, model="free"), contents)
    texts = []
    for number, content in enumerate(contents):
        (tmp_path / f"{number}.wav").write_bytes(content)
        texts.append(free.transcribe(tmp_path / f"{number}.wav").text)
    assert [answer.json()["text"] for answer in answers] == texts
    assert len(set(texts)) > 3, "the texts depend on the recordings"


def test_a_recognizer_of_ones_own_is_served_too(tmp_path: Path) -> None:
    folder, limits, metrics = write_recognizer(tmp_path), Limits(), Metrics()
    model = open_model("own", str(folder / "listener"), "cpu", {}, False, limits, metrics)
    path = folder / "recordings/ann0.wav"
    with running([model], limits, metrics) as server:
        found = transcribe(server, path.read_bytes(), model="own", response_format="diarized_json").json()
        alone = Recognizer.load(folder / "listener", device="cpu").transcribe(path)
        assert found["text"] == alone.text != ""
        assert [one["speaker"] for one in found["segments"]] == ["?"]
        told = error_of(transcribe(server, path.read_bytes(), model="own", prompt="Tea Brew"))
        assert told == (400, "prompt: listener: knows no hot words; leave it out")
        status, message = error_of(transcribe(server, recording(4.0), model="own"))
        assert (status, message) == (400, "file: lasts 4.0 seconds; expected at most 2.5; cut it in silence")


def test_hot_words_of_prompt_and_keywords_reach_the_model(client: openai.OpenAI) -> None:
    def ask(**more: Any) -> Any:
        return client.audio.transcriptions.create(model="free", file=("a.wav", recording(1.0)), **more).text

    told = ask(prompt="Tea Brew\nAiden Host")
    assert told != ask()
    assert told == ask(prompt="Tea Brew, Aiden Host") == ask(keywords=["Tea Brew", "Aiden Host"])


WRONG: list[tuple[dict[str, Any], int, str]] = [
    ({"model": "chian"}, 404, "model: no model is called 'chian'. Did you mean 'chain'?"),
    ({"model": "words"}, 400, "model: 'words' generates text and does not listen"),
    ({"response_format": "xml"}, 400, "response_format: must be 'json', 'text', 'srt', 'vtt'"),
    ({"language": "English"}, 400, "language: "),
    ({"temperature": "0.7"}, 400, "temperature: must be '0' or '0.0', found '0.7'"),
    ({"stream": "true"}, 400, "stream: must be 'false', found 'true'"),
    ({"timestamp_granularities[]": "letter"}, 400, "must be 'segment' or 'word', found 'letter'"),
    (
        {"timestamp_granularities[]": "word"},
        400,
        "timestamp_granularities: 'word' needs response_format verbose_json, found 'json'",
    ),
    (
        {"timestamp_granularities[]": "word", "response_format": "verbose_json"},
        400,
        "timestamp_granularities: this server finds no times of words; start it with `unilatent serve --words`",
    ),
    ({"promt": "Tea"}, 400, "promt: no such option. Did you mean 'prompt'?"),
    ({"prompt": "word\n" * 10_000}, 200, ""),
    ({"prompt": "\n".join(map(str, range(9000)))}, 400, "prompt: must have at most 20,000 characters"),
    ({"prompt": "\n".join(map(str, range(1000)))}, 400, "prompt: they take 4888 of the model's 8192 positions"),
]


@pytest.mark.parametrize(
    ("fields", "status", "line"), WRONG, ids=[f"{next(iter(case[0]))}-{case[1]}-{len(str(case[0]))}" for case in WRONG]
)
def test_wrong_fields(server: Running, fields: dict[str, Any], status: int, line: str) -> None:
    answer = transcribe(server, **fields)
    assert answer.status_code == status, answer.text
    if status != 200:
        assert line in error_of(answer)[1]


def _cut() -> bytes:
    return recording()[:5000]


FILES = [
    (b"", "file: cannot be read as audio"),
    (b"no audio at all", "file: cannot be read as audio"),
    (_cut(), "file: "),
    (recording(0.0), "file: empty audio, expected at least one sample"),
]


@pytest.mark.parametrize(("content", "line"), FILES, ids=["empty", "text", "cut", "no samples"])
def test_wrong_files(server: Running, content: bytes, line: str) -> None:
    status, message = error_of(transcribe(server, content))
    assert (status, line in message) == (400, True), message


def test_wrong_forms(server: Running) -> None:
    def post(**options: Any) -> tuple[int, str]:
        return error_of(server.client.post(PATH, **options))

    assert post(json={"model": "chain"}) == (
        415,
        "content-type: the header must be multipart/form-data, found 'application/json'",
    )
    boundary = {"content-type": "multipart/form-data; boundary=x"}
    for headers, content in [(boundary, b"nonsense"), ({"content-type": "multipart/form-data"}, b"--x\r\n")]:
        status, line = post(headers=headers, content=content)
        assert (status, line[:9]) == (400, "the body:"), line
    assert post(headers=boundary, content=b"--x--\r\n") == (
        400,
        "file: must be given, as the content of an audio file",
    )
    assert post(data={"model": "chain", "file": "talk.wav"}, files={"other": b""})[0] == 400
    assert post(data={"a": "b"}, files={"file": b"x"})[0] == 400


def test_a_recording_that_is_too_long_never_waits(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = server.service.models["chain"]
    monkeypatch.setattr(model.recognizer, "max_seconds", 1.5)
    assert error_of(transcribe(server)) == (
        400,
        "file: lasts 2.0 seconds; expected at most 1.5; cut it in silence",
    )


def test_a_bad_recording_does_not_spoil_those_beside_it(free: Recognizer) -> None:
    held, limits, metrics = Held(free), Limits(), Metrics()
    samples = np.full(RATE, np.nan, np.float32)
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="WAV", subtype="FLOAT")
    with running([RecognitionModel("held", "held", held, limits, metrics)], limits, metrics) as server:
        with ThreadPoolExecutor(4) as pool:
            first = pool.submit(transcribe, server, recording(1.0), model="held")
            wait_until(lambda: held.batches_heard == [1])
            others = [
                pool.submit(transcribe, server, content, model="held") for content in (file.getvalue(), recording(1.0))
            ]
            worker = server.service.models["held"].worker
            wait_until(lambda: len(worker._waiting) == 2)
            held.go.set()
        assert held.batches_heard[:2] == [1, 2]
        bad, good = [one.result() for one in others]
        assert error_of(bad) == (400, "file: sample 0 is nan, expected finite numbers")
        assert good.json() == first.result().json()
        assert 'unilatent_audio_seconds_total{model="held"} 2.0' in server.client.get("/metrics").text


def test_the_queue_the_size_and_clients_that_go_away(free: Recognizer) -> None:
    limits, metrics = Limits(queue=1, max_rows=1, upload_bytes=100_000), Metrics()
    held = Held(free)
    with running([RecognitionModel("held", "held", held, limits, metrics)], limits, metrics) as server:
        assert error_of(transcribe(server, recording(3.0), model="held")) == (
            413,
            "the body must have at most 100,000 bytes",
        )
        worker = server.service.models["held"].worker
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(transcribe, server, recording(1.0), model="held")
            wait_until(lambda: held.batches_heard == [1])
            with server.connect() as impatient:
                impatient.sendall(request_bytes(server, "held"))
                wait_until(lambda: len(worker._waiting) == 1)
            wait_until(lambda: worker.open_answers == 1)
            held.go.set()
            assert first.result().status_code == 200
        wait_until(lambda: worker.open_answers == 0)
        assert held.batches_heard == [1], "nobody waited for the second"
        held.go.clear()
        with ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(transcribe, server, recording(1.0), model="held")]
            wait_until(lambda: held.batches_heard == [1, 1])
            asked.append(pool.submit(transcribe, server, recording(1.0), model="held"))
            wait_until(lambda: len(worker._waiting) == 1)
            refused = transcribe(server, recording(1.0), model="held")
            assert error_of(refused) == (429, "'held' has 1 requests waiting; try again later")
            assert int(refused.headers["retry-after"]) >= 1
            held.go.set()
        assert [one.result().status_code for one in asked] == [200, 200]


def test_few_recordings_arrive_at_once(free: Recognizer) -> None:
    limits, metrics = replace(Limits(), uploads=1, upload_seconds=20.0), Metrics()
    with running([RecognitionModel("free", "free", free, limits, metrics)], limits, metrics) as server:
        head = f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: multipart/form-data; boundary=x\r\n"
        with server.connect() as slow:
            slow.sendall(f"{head}content-length: 1000\r\n\r\n--x".encode())
            wait_until(lambda: transcribe(server, model="free").status_code == 429)
        wait_until(lambda: transcribe(server, model="free").status_code == 200)


def request_bytes(server: Running, model: str) -> bytes:
    """A request as the client writes it."""
    files = {"file": ("a.wav", recording(1.0))}
    request = server.client.build_request("POST", PATH, data={"model": model}, files=files)
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    return f"POST {PATH} HTTP/1.1\r\n{head}\r\n".encode() + request.read()


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
