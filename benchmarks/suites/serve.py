"""Throughput and load of `unilatent serve`, for speech and text, with the server in a process of its own.

Throughput: one client and eight, in turn: seconds of the clock and of the server's processors for what is made.

Load (`--seconds`): 100 clients at once, with short and long texts. Every tenth reads slowly, every twentieth stops
reading for a minute, every tenth goes away in the midst of its answer, and all come back when the server is busy. Notes
say how the requests ended (lost: neither a whole answer, nor an error with its status, nor ended by the client or for
being too slow) and the memory of the server. A first load warms it up: the memory of the second is flat if its half
minutes differ no more than by chance. It is at rest when it had nothing to do for some seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from measuring import Row, Table

from suites.files import RUN

SENTENCES = (
    "Good morning.",
    "The ship was cheap, and the sheep slept.",
    "It rained all day, so we stayed at home and read to each other.",
    "A small library that reads and writes images, sounds and text files in many formats.",
)
SLOW_SECONDS = 0.25  # between two pieces that a slow reader takes
PIECE = 4096  # bytes of such a piece
REST_SECONDS = 8  # after a load: the server gives memory back when it was idle for 5
HALF_MINUTE = 30


@dataclass
class Made:
    """How requests ended, and what was made of them."""

    ends: Counter[str] = field(default_factory=Counter)
    units: float = 0.0
    first: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    process: int

    def memory(self, key: str) -> float:
        """MiB that the process has (`VmRSS`) or had at most (`VmHWM`)."""
        for line in Path(f"/proc/{self.process}/status").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) / 1024
        return float("nan")

    def processor_seconds(self) -> float:
        """Time that the process has used on all processors."""
        fields = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def started(speech: str, text: str, log: Path) -> Iterator[Server]:
    """A server in another process, until the end of the block."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "unilatent", "serve", f"speech={speech}", f"text={text}", f"--port={port}"]
    with log.open("w") as file, subprocess.Popen(command, stderr=file, stdout=file) as process:
        try:
            while process.poll() is None:
                try:
                    httpx.get(f"http://127.0.0.1:{port}/health")
                    break
                except httpx.TransportError:
                    time.sleep(0.2)
            else:
                raise SystemExit(log.read_text())
            yield Server(f"http://127.0.0.1:{port}", process.pid)
        finally:
            process.terminate()


def speech_body(chooser: random.Random, voice: str, pieces: int) -> dict[str, object]:
    """A request to speak so many sentences."""
    text = " ".join(chooser.choice(SENTENCES) for _ in range(pieces))
    return {"model": "speech", "voice": voice, "input": text, "response_format": "pcm", "seed": chooser.randrange(1000)}


def text_body(chooser: random.Random, pieces: int) -> dict[str, object]:
    """A request to generate from so many sentences."""
    return {"model": "text", "input": " ".join(chooser.choice(SENTENCES) for _ in range(pieces))}


async def request(
    client: httpx.AsyncClient,
    path: str,
    body: dict[str, object],
    made: Made,
    slow: bool = False,
    stall: float = 0.0,
    leave: float = 0.0,
) -> None:
    """One request, and how it ended: `whole`, `busy`, `refused`, `left`, `too slow` or `lost`."""
    begun = time.monotonic()
    try:
        async with client.stream("POST", path, json=body) as answer:
            if answer.status_code != 200:
                await answer.aread()
                made.ends["busy" if answer.status_code in (429, 503) else f"status {answer.status_code}"] += 1
                await asyncio.sleep(min(2.0, float(answer.headers.get("retry-after", 1))) * random.random())
                return
            size = 0
            async for piece in answer.aiter_bytes(PIECE if slow else None):
                if not size:
                    made.first.append(time.monotonic() - begun)
                size += len(piece)
                if stall and size == len(piece):
                    await asyncio.sleep(stall)
                if slow:
                    await asyncio.sleep(SLOW_SECONDS)
                if leave and time.monotonic() - begun > leave:
                    made.ends["left"] += 1
                    return
            rate = int(answer.headers.get("unilatent-sample-rate", 0))
            made.units += size / 2 / rate if rate else 1
            made.ends["whole" if size else "lost"] += 1
    except httpx.TransportError:
        made.ends["too slow" if stall else "lost"] += 1


async def load(server: Server, voice: str, clients: int, seconds: float) -> tuple[Made, list[float]]:
    """Clients of all kinds for some time; also the memory of the server, once a second."""
    made, memory, until = Made(), list[float](), time.monotonic() + seconds

    async def one(number: int) -> None:
        chooser = random.Random(number)
        async with httpx.AsyncClient(base_url=server.url, timeout=300) as client:
            while time.monotonic() < until:
                pieces = chooser.choice((1, 1, 1, 2, 3, 6))
                leave = chooser.uniform(0.1, 2.0) if number % 10 == 1 else 0.0
                if number % 3 == 2:
                    await request(client, "/v1/generate", text_body(chooser, pieces), made, leave=leave)
                else:
                    body = speech_body(chooser, voice, pieces)
                    slow, stall = number % 10 == 0, min(60.0, seconds) if number % 20 == 3 else 0.0
                    await request(client, "/v1/audio/speech", body, made, slow, stall, leave)

    async def watch() -> None:
        while True:
            memory.append(server.memory("VmRSS"))
            await asyncio.sleep(1)

    watcher = asyncio.create_task(watch())
    await asyncio.gather(*(one(number) for number in range(clients)))
    watcher.cancel()
    return made, memory


async def throughput(
    server: Server, clients: int, seconds: float, ask: Callable[..., Awaitable[None]]
) -> tuple[float, float]:
    """Units (seconds of audio, or texts) in a second, and in a second of the server's processor time."""
    made, begun, used = Made(), time.monotonic(), server.processor_seconds()

    async def one(number: int) -> None:
        chooser = random.Random(number)
        async with httpx.AsyncClient(base_url=server.url, timeout=300) as client:
            while time.monotonic() < begun + seconds:
                await ask(client, chooser, made)

    await asyncio.gather(*(one(number) for number in range(clients)))
    assert set(made.ends) == {"whole"}, made.ends
    return made.units / (time.monotonic() - begun), made.units / (server.processor_seconds() - used)


def throughputs(server: Server, voice: str, args: argparse.Namespace) -> Iterator[Table]:
    """For speech and text, one client and many, in turn."""

    async def speak(client: httpx.AsyncClient, chooser: random.Random, made: Made) -> None:
        await request(client, "/v1/audio/speech", speech_body(chooser, voice, 1), made)

    async def write(client: httpx.AsyncClient, chooser: random.Random, made: Made) -> None:
        await request(client, "/v1/generate", text_body(chooser, 1), made)

    for name, unit, ask in (("speech", "s of audio", speak), ("text", "texts", write)):
        rows = {count: Row(f"{count} client{'s' * (count > 1)}", [], []) for count in (1, args.many)}
        for _ in range(args.rounds):
            for count, row in rows.items():
                by_clock, by_processor = asyncio.run(throughput(server, count, args.round_seconds, ask))
                row.wall.append(1 / by_clock)
                row.cpu.append(1 / by_processor)
        yield Table(f"the server, {name}", unit, 1, "1 client", list(rows.values()))


def rested(server: Server) -> float:
    """MiB of the server after some seconds without a request."""
    time.sleep(REST_SECONDS)
    return server.memory("VmRSS")


def half_minutes(memory: Sequence[float]) -> list[float]:
    """Means of what was measured once a second, for each half minute."""
    parts = [memory[start : start + HALF_MINUTE] for start in range(0, len(memory), HALF_MINUTE)]
    return [sum(part) / len(part) for part in parts]


def add_options(parser: argparse.ArgumentParser) -> None:
    """What is served, and how it is asked."""
    parser.add_argument("--speech", default="demo", help="voice to serve")
    parser.add_argument("--text", default=str(RUN), help="text run to serve")
    parser.add_argument("--clients", type=int, default=100, help="of the load")
    parser.add_argument("--seconds", type=float, default=0, help="of the load; 0: none")
    parser.add_argument("--warm-up", type=float, default=30, help="seconds of a load before it")
    parser.add_argument("--round-seconds", type=float, default=8, help="of a measurement of throughput")
    parser.add_argument("--many", type=int, default=8, help="clients that are compared with one")


def measure(args: argparse.Namespace) -> Iterator[Table]:
    """Tables of throughput; the load is in the notes of the last."""
    with tempfile.TemporaryDirectory() as folder, started(args.speech, args.text, Path(folder, "log")) as server:
        voice = httpx.get(f"{server.url}/v1/audio/voices").json()["data"][0]["id"]
        *first, last = throughputs(server, voice, args)
        yield from first
        if args.seconds:
            last.notes += under_load(server, voice, args)
        yield last


def under_load(server: Server, voice: str, args: argparse.Namespace) -> list[str]:
    """How requests ended, and the memory of the server, in sentences."""
    asyncio.run(load(server, voice, args.clients, args.warm_up))
    before = rested(server)
    made, memory = asyncio.run(load(server, voice, args.clients, args.seconds))
    ends = ", ".join(f"{name} {count}" for name, count in made.ends.most_common())
    first = sorted(made.first) or [float("nan")]
    minutes = ", ".join(map("{:.0f}".format, half_minutes(memory)))
    return [
        f"Load of {args.clients} clients for {args.seconds:g} s: {ends}; lost = {made.ends['lost']}.",
        f"First piece: median {first[len(first) // 2]:.2f} s, 95 % {first[len(first) * 19 // 20]:.2f} s.",
        f"Memory at rest {before:.0f} MiB before, {rested(server):.0f} after; under load, mean of each half minute, "
        f"{minutes} MiB; at most {server.memory('VmHWM'):.0f} MiB.",
    ]
