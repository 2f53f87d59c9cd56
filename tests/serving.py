"""A server with tiny models on a free port of this machine: what the tests of the server talk to."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from latent.recognition.words import WordAligner
from unilatent.server.limits import Limits
from unilatent.server.metrics import Metrics
from unilatent.server.models import ServedModel, open_model
from unilatent.server.run import Server, bind, make_server
from unilatent.server.service import Service

TEXT_RUN = Path(__file__).parent / "regression/data/run"


@dataclass
class Running:
    """A server that runs in a thread, and a client for it."""

    service: Service
    port: int
    client: httpx.Client
    server: Server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def speech(self, **body: Any) -> httpx.Response:
        given = {"model": "tiny", "input": "Good morning.", "voice": "ann", "response_format": "pcm", **body}
        return self.client.post("/v1/audio/speech", json=given)

    def generate(self, **body: Any) -> httpx.Response:
        return self.client.post("/v1/generate", json={"model": "words", "input": "reads text", **body})

    def stop(self) -> None:
        """What a signal does."""
        self.server.handle_exit(signal.SIGTERM, None)

    def connect(self, **options: Any) -> socket.socket:
        """A connection without a client."""
        return socket.create_connection(("127.0.0.1", self.port), **options)


def error_of(response: httpx.Response) -> tuple[int, str]:
    """Status and line of an error, which has OpenAI's shape."""
    content = response.json()
    assert set(content) == {"error"}, content
    assert set(content["error"]) == {"message", "type", "param", "code"}
    message = content["error"]["message"]
    assert "\n" not in message
    assert len(message) <= 310
    return response.status_code, message


def tiny_models(folder: Path, limits: Limits, metrics: Metrics) -> list[ServedModel]:
    """The voice `tiny` of a folder from `write_voice`, and the text run `words`."""
    paths = {"tiny": str(folder), "words": str(TEXT_RUN)}
    return [open_model(name, path, "cpu", {}, False, limits, metrics) for name, path in paths.items()]


@contextlib.contextmanager
def serving(folder: Path, limits: Limits | None = None, api_key: str | None = None, **more: Any) -> Iterator[Running]:
    """A server with the tiny models, until the end of the block."""
    limits, metrics = limits or Limits(), Metrics()
    with running(tiny_models(folder, limits, metrics), limits, metrics, api_key, **more) as server:
        yield server


@contextlib.contextmanager
def running(
    models: Sequence[ServedModel],
    limits: Limits,
    metrics: Metrics,
    api_key: str | None = None,
    word_aligner: WordAligner | None = None,
    **more: Any,
) -> Iterator[Running]:
    """A server with these models, until the end of the block."""
    service = Service(models, limits, metrics, word_aligner)
    server = make_server(service, api_key, **more)
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    headers = {} if api_key is None else {"authorization": f"Bearer {api_key}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, headers=headers) as client:
        yield Running(service, port, client, server)
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()


def raw_request(path: str, body: object = None, **headers: str) -> bytes:
    """The bytes of a request."""
    content = b"" if body is None else json.dumps(body).encode()
    given = {"host": "localhost", "content-type": "application/json", "content-length": str(len(content)), **headers}
    lines = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1", *(f"{name}: {given[name]}" for name in given)]
    return "\r\n".join([*lines, "", ""]).encode() + content
