"""What a load leaves behind in a server: nothing."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor

from memory import tensors_in_use
from serving import Running

SMALL = 1000  # bytes: an empty session knows two tokens and the like


def load(server: Running, numbers: range) -> set[int]:
    """The statuses of many requests of all kinds, several at once; every seventh client goes away early."""
    with ThreadPoolExecutor(8) as clients:
        return set(clients.map(lambda number: ask(server, number), numbers))


def ask(server: Running, number: int) -> int:
    chooser = random.Random(number)
    text = " ".join(chooser.choices(["Good morning.", "Two, three.", "So.", "reads text"], k=chooser.randint(1, 4)))
    if number % 7 == 0:
        body = {"model": "tiny", "input": text, "voice": "ann"}
        with server.client.stream("POST", "/v1/audio/speech", json=body) as answer:
            return answer.status_code
    if number % 3 == 0:
        return server.speech(input=text, seed=number).status_code
    options = chooser.choice(
        [{}, {"beam_size": 2}, {"name": "sampling", "seed": number}, {"max_length": 5 + number % 9}]
    )
    return server.generate(input=text, decoder={"max_length": 8, **options}).status_code


def test_many_requests_leave_no_more_tensors_than_there_were_before_the_first(server: Running) -> None:
    before, until = tensors_in_use(), time.monotonic() + 30
    assert load(server, range(120)) == {200}
    while tensors_in_use() > before + SMALL and time.monotonic() < until:  # those of clients that went away
        time.sleep(0.1)
    assert tensors_in_use() <= before + SMALL
