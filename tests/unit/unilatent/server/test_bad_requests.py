"""What clients may do wrong: the right status, one clear line, and the server lives on, for all others too."""

from __future__ import annotations

import errno
import json
import shutil
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest
from command_line import error_of as error_of_command
from serving import Running, error_of, raw_request, serving

from unilatent.server.limits import Limits

STRICT = Limits(header_seconds=0.4, body_seconds=0.4, stall_seconds=0.5, idle_seconds=1, stop_seconds=10)
LONG = "ann: So. [pause 500] So."
"""A script whose answer is longer than what the buffers of a connection hold."""


@pytest.fixture(autouse=True)
def _others_are_unharmed(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test, the servers that it used still speak and write."""
    yield
    for name in ("server", "strict"):
        if name in request.fixturenames:
            running = request.getfixturevalue(name)
            assert running.speech().status_code == 200
            assert running.generate().status_code == 200
            assert running.client.get("/health").status_code == 200


@pytest.fixture(scope="module")
def strict(voice: Path) -> Iterator[Running]:
    with serving(voice, STRICT) as running:
        yield running


SPEECH: list[tuple[dict[str, Any], int, str]] = [
    ({"model": "tinny"}, 404, "model: no model is called 'tinny'. Did you mean 'tiny'?"),
    ({"model": "words"}, 400, "model: 'words' generates text and does not speak"),
    ({"voice": "alloy"}, 404, "voice: 'tiny' has no voice 'alloy'; known: ann, bob"),
    ({"voice": {"id": "anne"}}, 404, "Did you mean 'ann'?"),
    ({"voice": None}, 400, "voice: must be given, one of ann, bob"),
    ({"voice": 3}, 400, "voice"),
    ({"input": 3}, 400, "input: must be a valid string, found 3"),
    ({"input": ["a"]}, 400, "input: must be a valid string"),
    ({"input": ""}, 400, "input: is empty; expected something to say"),
    ({"input": " \n"}, 400, "input: is empty"),
    ({"input": "?!"}, 400, "input: no line of the script has anything to say"),
    ({"input": "\ud800"}, 400, "surrogate"),
    ({"input": "a" * 4097}, 400, "input: must have at most 4,096 characters, found 4,097"),
    ({"response_format": "aac"}, 400, "response_format: must be 'mp3', 'opus', 'flac', 'wav' or 'pcm', found 'aac'"),
    ({"stream_format": "x"}, 400, "stream_format: must be 'audio' or 'sse'"),
    ({"speed": 2}, 400, "speed: must be 1"),
    ({"speed": 9}, 400, "speed: must be less than or equal to 4"),
    ({"speed": True}, 400, "speed: must be a number, found True"),
    ({"seed": -1}, 400, "seed: must be greater than or equal to 0"),
    ({"temperature": -1}, 400, "temperature: must be greater than or equal to 0"),
    ({"instructions": "Whisper."}, 400, "instructions: must be empty"),
    ({"spee": 1}, 400, "spee: no such option. Did you mean 'speed'?"),
]


@pytest.mark.parametrize(("body", "status", "line"), SPEECH, ids=[str(case[0])[:40] for case in SPEECH])
def test_speech(server: Running, body: dict[str, Any], status: int, line: str) -> None:
    given = {"model": "tiny", "input": "Good morning.", "voice": "ann", **body}
    content = json.dumps(given).encode()
    answer = server.client.post("/v1/audio/speech", content=content, headers={"content-type": "application/json"})
    found = error_of(answer)
    assert found[0] == status
    assert line in found[1]


CONSTRAINED = {"name": "constrained_beam", "max_length": 20}
UNREACHABLE = {"name": "constrained_beam", "max_length": 9, "no_repeat_ngram_size": 1}
TEXT: list[tuple[dict[str, Any], str]] = [
    ({"model": "tiny"}, "model: 'tiny' speaks and does not generate text"),
    ({"input": []}, "input: must be 1 to 64 texts, found 0"),
    ({"input": ["a"] * 65}, "input: must be 1 to 64 texts, found 65"),
    ({"input": ""}, "empty"),
    ({"input": "a" * 20_001}, "must have at most 20,000 characters, found 20,001"),
    ({"num_hypotheses": 17}, "num_hypotheses: must be at most 16 here, found 17"),
    ({"num_hypotheses": 0}, "num_hypotheses: must be greater than or equal to 1"),
    ({"decoder": {"beam_size": 100}}, "decoder.beam_size: must be at most 16 here, found 100"),
    ({"decoder": {"max_length": 10_000}}, "decoder.max_length: must be at most 512 here"),
    ({"decoder": {"beam_siz": 2}}, "beam_siz: no such option. Did you mean 'beam_size'?"),
    ({"decoder": {"beam_size": "2; rm"}}, "beam_size"),
    ({"decoder": {"name": "nosuch"}}, "nosuch"),
    ({"decoder": {"name": "ctc"}}, "decoder.name: 'ctc' is for the task 'speech_recognition'"),
    (
        {"decoder": {"name": "transcription"}},
        "decoder.name: 'transcription' is for VibeVoice-ASR, runs tuned from it, and runs of speech_and_text",
    ),
    ({"decoder": 3}, "decoder: must be a valid dictionary, found 3"),
    ({"constraints": ["fast"]}, "constrained_beam"),
    ({"constraints": "fast"}, "constraints"),
    ({"constraints": [[], [], []], "decoder": CONSTRAINED}, "or one for each of 1 texts, found 3"),
    ({"constraints": [" "], "decoder": CONSTRAINED}, "'constraints' is empty"),
    ({"constraints": ["a" * 20_001], "decoder": CONSTRAINED}, "the phrases of a text must have at most 20,000"),
    ({"constraints": ["fast"] * 600, "decoder": CONSTRAINED}, "more than decoder.max_length"),
    (
        {"prefix": "fast images", "constraints": ["images fast"], "decoder": UNREACHABLE},
        "no output of at most decoder.max_length=9 tokens has all 'constraints'",
    ),
]


@pytest.mark.parametrize(("body", "line"), TEXT, ids=[str(case[0])[:40] for case in TEXT])
def test_text(server: Running, body: dict[str, Any], line: str) -> None:
    status, message = error_of(server.generate(**body))
    assert status == 400
    assert line in message


SCRIPTS = {
    "": "nothing is said in it",
    "anna: Hello.": "'anna' has no voice; the model's speakers are ann, bob",
    "[pause 3]": "a script cannot begin with a pause",
    "ann: So. [pause 700]": "a pause must be 0 to 600 seconds",
    "ann: So. [pause 599] So. [pause 599] So.": "would last about",
    '[{"speaker": "ann"}]': "'text' must be a string that is not blank",
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts(server: Running, script: str) -> None:
    answer = server.client.post("/v1/audio/script", json={"model": "tiny", "input": script})
    status, message = error_of(answer)
    assert status == 400
    assert SCRIPTS[script] in message
    assert "--" not in message


BODIES: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 400, "the body is empty; expected a JSON object"),
    "not UTF-8": (b'{"model": "\xff"}', 400, "the body: invalid UTF-8 at byte 12"),
    "broken": (b'{"model": ', 400, "the body: broken JSON"),
    "a list": (b"[]", 400, "the body: expected a JSON object"),
    "deep": (b"[" * 100_000, 400, "the body: JSON that cannot be read: more than 100 levels"),
    "deep object": (b'{"model":' * 500 + b"1" + b"}" * 500, 400, "more than 100 levels"),
    "a huge number": (b'{"speed": ' + b"9" * 100_000 + b"}", 400, "the body: JSON that cannot be read"),
    "infinite": (b'{"speed": 1e999}', 400, "expected finite numbers"),
    "a megabyte": (b'{"input": "' + b"a" * 1_000_000 + b'"}', 413, "the body must have at most 262,144 bytes"),
    "five megabytes": (b" " * 5_000_000, 413, "the body must have at most 262,144 bytes"),
}


@pytest.mark.parametrize("kind", BODIES)
def test_bodies(server: Running, kind: str) -> None:
    content, status, line = BODIES[kind]
    for path in ("/v1/audio/speech", "/v1/generate"):
        answer = server.client.post(path, content=content, headers={"content-type": "application/json"})
        found = error_of(answer)
        assert found[0] == status
        assert line in found[1]


def test_paths_methods_types_and_hosts(voice: Path) -> None:
    with serving(voice, hosts=["127.0.0.1", "::1"]) as server:
        assert error_of(server.client.get("/v1/nothing")) == (404, "not found")
        assert error_of(server.client.get("/v1/audio/speech")) == (405, "method not allowed")
        assert error_of(server.client.get("/v1/models/demo"))[0] == 404
        assert error_of(server.client.post("/v1/generate", content=b"a=b"))[0] == 415
        assert error_of(server.client.get("/v1/models", headers={"host": "evil.example"}))[0] == 403
        assert server.client.get("/v1/models", headers={"host": "[::1]:80"}).status_code == 200


@pytest.mark.parametrize("headers", [{"x": "a" * 40_000}, {f"x{i}": "a" * 100 for i in range(1000)}])
def test_a_flood_of_headers_is_refused(server: Running, headers: dict[str, str]) -> None:
    assert error_of(server.client.get("/v1/models", headers=headers))[0] == 431


def test_what_is_not_http_is_refused(server: Running) -> None:
    with server.connect(timeout=5) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400")


def test_a_key_is_asked_for(voice: Path) -> None:
    with serving(voice, api_key="sesame") as server:
        assert server.speech().status_code == 200
        assert server.client.get("/metrics").status_code == 200
        for given in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic s"}):
            with httpx.Client(base_url=server.url, headers=given) as client:
                for path in ("/v1/models", "/metrics"):
                    assert error_of(client.get(path))[0] == 401
                assert client.get("/health").status_code == 200


def received(connection: socket.socket) -> bytes:
    """Everything until the other side ends the connection."""
    found = b""
    try:
        while piece := connection.recv(65536):
            found += piece
    except ConnectionError:
        pass
    return found


@pytest.mark.parametrize("sent", [b"", b"GET /v1/mod", b"GET / HTTP/1.1\r\nx: "])
def test_a_head_that_does_not_arrive_ends_the_connection(strict: Running, sent: bytes) -> None:
    with strict.connect(timeout=5) as connection:
        connection.sendall(sent)
        assert received(connection) == b""


def test_a_body_that_does_not_arrive_is_a_timeout(strict: Running) -> None:
    with strict.connect(timeout=5) as connection:
        connection.sendall(raw_request("/v1/generate", {"model": "words"})[:-5])
        answer = received(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"the body did not arrive within 0.4 seconds" in answer


def test_a_client_that_leaves_frees_its_place(strict: Running) -> None:
    worker = strict.service.models["tiny"].worker
    for _ in range(3):
        with strict.connect() as connection:
            body = {"model": "tiny", "input": LONG, "response_format": "wav"}
            connection.sendall(raw_request("/v1/audio/script", body))
            connection.recv(10)
    wait_until(lambda: worker.open_answers == 0)


def test_a_reader_that_stalls_loses_its_connection_and_holds_up_nobody(
    strict: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.connect(("127.0.0.1", strict.port))
        body = {"model": "tiny", "input": LONG, "response_format": "pcm"}
        connection.sendall(raw_request("/v1/audio/script", body))
        connection.recv(1)
        started = time.monotonic()
        assert strict.speech().status_code == 200
        wait_until(lambda: "read nothing for 0.5 seconds" in caplog.text)
        assert time.monotonic() - started < 10
    wait_until(lambda: strict.service.models["tiny"].worker.open_answers == 0)


def test_two_hundred_clients_and_a_queue_of_32_lose_nobody(voice: Path) -> None:
    def speak(port: int, seed: int) -> tuple[int, str | None, bytes]:
        body = {"model": "tiny", "input": "So.", "voice": "ann", "response_format": "pcm", "seed": seed}
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", "/v1/audio/speech", json.dumps(body), {"content-type": "application/json"})
        answer = connection.getresponse()
        found = answer.status, answer.getheader("retry-after"), answer.read()
        connection.close()
        return found

    with serving(voice, replace(Limits(), queue=32)) as server, ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(lambda number: speak(server.port, number % 3), range(200)))
        spoken = {seed: speak(server.port, seed)[2] for seed in range(3)}
    assert sum(status == 200 for status, _, _ in answers) >= 32
    for number, (status, retry_after, content) in enumerate(answers):
        if status == 200:
            assert content == spoken[number % 3]
        else:
            assert status == 429
            assert int(retry_after or 0) >= 1
            assert b"requests waiting; try again later" in content


def test_a_folder_that_disappears_is_not_missed(voice: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(voice, tmp_path / "voice")
    with serving(folder) as server:
        before = server.speech()
        shutil.rmtree(folder)
        assert server.speech().content == before.content


def test_a_disk_that_is_full_in_the_midst_of_an_answer_breaks_that_answer_alone(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unilatent.server import audio_formats

    class Full(audio_formats._Plain):
        def close(self) -> bytes:
            raise OSError(errno.ENOSPC, "No space left on device", "/secret/place")

    with monkeypatch.context() as patch:
        patch.setattr(audio_formats, "_Plain", Full)
        with pytest.raises(httpx.RemoteProtocolError):
            server.speech(response_format="wav")
        assert server.speech(response_format="flac").status_code == 200


def test_a_server_that_stops_finishes_what_is_begun(voice: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        with serving(voice) as server:
            asked = {"model": "tiny", "input": LONG, "response_format": "pcm"}
            whole = server.client.post("/v1/audio/script", json=asked).content
            with httpx.stream("POST", f"{server.url}/v1/audio/script", json=asked) as answer:
                pieces = answer.iter_bytes()
                first = next(pieces)
                rest = pool.submit(lambda: b"".join(pieces))
                server.stop()
                assert first + rest.result(30) == whole
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/health")


def test_a_port_that_is_taken_and_a_model_that_is_missing_are_one_line(server: Running, voice: Path) -> None:
    taken = error_of_command("serve", voice, "--port", server.port)
    assert "cannot be used: Address already in use; give another" in taken
    assert "runs/nothing" in error_of_command("serve", "runs/nothing", "--port", 0)
    assert "another model is called" in error_of_command("serve", voice, voice, "--port", 0)
    assert "must be NAME=RECORDING" in error_of_command("serve", voice, "--voice", "x", "--port", 0)


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
