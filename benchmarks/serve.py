"""Load and throughput of `unilatent serve`, for speech and text, with the server in a process of its own.

    python benchmarks/serve.py --text runs/summarizer

Load: 100 clients at once for two minutes, with short and long texts. Every tenth reads slowly, every twentieth stops
reading for a minute, every tenth goes away in the midst of its answer, and all come back when the server is busy.
Prints how the requests ended (lost: neither a whole answer, nor an error with its status, nor ended by the client or
for being too slow) and the memory of the server. A first load warms it up: the memory of the second is flat if its half
minutes differ no more than by chance. It is at rest when it had nothing to do for some seconds.

Throughput: one client and eight, in turn, several times; prints what is made in a second and the ratio with its range.
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


def compare(server: Server, voice: str, rounds: int, seconds: float, clients: int) -> None:
    """Print the throughput of many clients over that of one, in turn."""

    async def speak(client: httpx.AsyncClient, chooser: random.Random, made: Made) -> None:
        await request(client, "/v1/audio/speech", speech_body(chooser, voice, 1), made)

    async def write(client: httpx.AsyncClient, chooser: random.Random, made: Made) -> None:
        await request(client, "/v1/generate", text_body(chooser, 1), made)

    for name, unit, ask in (("speech", "s of audio", speak), ("text", "texts", write)):
        pairs = [
            [asyncio.run(throughput(server, count, seconds, ask)) for count in (1, clients)] for _ in range(rounds)
        ]
        for index, kind in enumerate(("a second", "a second of processor time")):
            rates = [(one[index], many[index]) for one, many in pairs]
            ratios = sorted(many / one for one, many in rates)
            one, many = (sum(column) / rounds for column in zip(*rates, strict=True))
            print(
                f"{name}: {unit} in {kind}: 1 client {one:.2f}, {clients} clients {many:.2f}, ratio {many / one:.2f} "
                f"({ratios[0]:.2f} to {ratios[-1]:.2f} in {rounds} rounds)"
            )


def rested(server: Server) -> float:
    """MiB of the server after some seconds without a request."""
    time.sleep(REST_SECONDS)
    return server.memory("VmRSS")


def half_minutes(memory: Sequence[float]) -> list[float]:
    """Means of what was measured once a second, for each half minute."""
    parts = [memory[start : start + HALF_MINUTE] for start in range(0, len(memory), HALF_MINUTE)]
    return [sum(part) / len(part) for part in parts]


def main(arguments: list[str] | None = None) -> None:
    """Start a server, load it, compare, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", default="demo", help="voice to serve")
    parser.add_argument("--text", required=True, help="text run to serve")
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=120, help="of the load")
    parser.add_argument("--warm-up", type=float, default=30, help="seconds of a load before it")
    parser.add_argument("--rounds", type=int, default=5, help="of the comparison")
    parser.add_argument("--round-seconds", type=float, default=8)
    parser.add_argument("--many", type=int, default=8, help="clients that are compared with one")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, started(options.speech, options.text, Path(folder, "log")) as server:
        voice = httpx.get(f"{server.url}/v1/audio/voices").json()["data"][0]["id"]
        compare(server, voice, options.rounds, options.round_seconds, options.many)
        asyncio.run(load(server, voice, options.clients, options.warm_up))
        before = rested(server)
        made, memory = asyncio.run(load(server, voice, options.clients, options.seconds))
        ends = ", ".join(f"{name} {count}" for name, count in made.ends.most_common())
        first = sorted(made.first)
        print(f"load: {options.clients} clients, {options.seconds:g} s: {ends}")
        print(f"lost = {made.ends['lost']}")
        if first:
            print(f"first piece: median {first[len(first) // 2]:.2f} s, 95 % {first[len(first) * 19 // 20]:.2f} s")
        print(f"memory at rest: {before:.0f} MiB before the load, {rested(server):.0f} after")
        print(
            f"memory under load, mean of each half minute: {', '.join(map('{:.0f}'.format, half_minutes(memory)))} MiB"
        )
        print(f"memory at most: {server.memory('VmHWM'):.0f} MiB")


if __name__ == "__main__":
    main()
