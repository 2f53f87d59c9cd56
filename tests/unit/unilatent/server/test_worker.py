"""The thread of a model: who joins, who waits, and what a failure costs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import pytest

from s2s.errors import InputError, UnreachableError
from unilatent.server import worker as worker_module
from unilatent.server.answers import Answer
from unilatent.server.errors import ApiError, Busy, ClientGone, api_error
from unilatent.server.limits import Limits
from unilatent.server.metrics import Metrics
from unilatent.server.worker import Job, Worker


@dataclass
class Counted:
    key: int
    left: int


class Session:
    """Counts each row down to 0; a row that begins with 13, 14 or 15 makes every step of its batch fail."""

    def __init__(self, room: int, gate: threading.Event, log: list[list[int]]) -> None:
        self.rows: dict[int, int] = {}
        self.room, self.gate, self.log, self.next = room, gate, log, 0

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, count: int) -> int:
        if count < 0:
            raise InputError("count: must not be negative")
        self.next += 1
        self.rows[self.next] = count
        return self.next

    def remove(self, key: int) -> None:
        del self.rows[key]

    def step(self) -> list[Counted]:
        self.gate.wait(10)
        self.log.append(sorted(self.rows.values()))
        if 13 in self.rows.values():
            raise RuntimeError("bad luck")
        if 14 in self.rows.values():
            raise InputError("the scores are not numbers")
        if 15 in self.rows.values():
            raise UnreachableError("no count has it")
        if 99 in self.rows.values():
            raise SystemExit
        self.rows = {key: left - 1 for key, left in self.rows.items()}
        items = [Counted(key, left) for key, left in self.rows.items()]
        self.rows = {key: left for key, left in self.rows.items() if left > 0}
        return items


class Count(Job):
    """Hands on how far a row has been counted down."""

    def __init__(self, count: int, answer: Answer, open_session: Callable[[], Session], key: str = "") -> None:
        super().__init__(key, answer)
        self.count, self.open, self.joined, self.left = count, open_session, False, 1

    def open_session(self) -> Session:
        return self.open()

    def has_next(self) -> bool:
        return not self.joined and not self.answer.is_full

    def has_room(self, session: Session) -> bool:
        return len(session) < session.room

    def join(self, session: Session) -> int:
        key = session.add(self.count)
        self.joined = True
        return key

    def receive(self, item: Counted) -> bool:
        self.left = item.left
        self.answer.put(item.left)
        return self.finished()

    def finished(self) -> bool:
        return self.left == 0

    def begin_again(self) -> None:
        self.joined = False


class Bench:
    """A worker whose steps wait until the gate is open."""

    def __init__(self, room: int = 2, queue: int = 3, name: str = "counter") -> None:
        self.gate, self.steps = threading.Event(), list[list[int]]()
        self.worker = Worker(name, Limits(queue=queue, max_rows=8), Metrics().of(name))
        self.room = room

    def submit(self, count: int, key: str = "") -> Answer:
        answer = self.worker.answer()
        self.worker.submit(Count(count, answer, lambda: Session(self.room, self.gate, self.steps), key))
        return answer

    async def pieces(self, answer: Answer) -> list[int]:
        found = []
        while (piece := await answer.next()) is not None:
            found.append(piece)
        answer.close()
        return found


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 20))


def test_requests_join_a_running_batch_and_wait_in_order_while_it_is_full() -> None:
    async def test() -> None:
        bench = Bench(room=2)
        answers = [bench.submit(count) for count in (3, 1, 2)]
        bench.gate.set()
        assert [await bench.pieces(answer) for answer in answers] == [[2, 1, 0], [0], [1, 0]]
        assert bench.steps[-2:] == [[2, 2], [1, 1]]  # the third joined when the second had left
        assert bench.worker.open_answers == 0

    run(test())


def test_an_answer_that_is_closed_while_its_reader_catches_up_is_counted_once() -> None:
    async def test() -> None:
        bench = Bench()
        answer = bench.worker.answer()
        answer.put("more than may wait", 10**9)
        reading = asyncio.create_task(answer.next())
        while not answer._pieces.qsize():
            await asyncio.sleep(0)
        answer.close()
        await asyncio.gather(reading, return_exceptions=True)
        answer.close()
        assert bench.worker.open_answers == 0

    run(test())


def test_requests_with_other_options_have_a_batch_of_their_own() -> None:
    async def test() -> None:
        bench = Bench()
        answers = [bench.submit(2, key) for key in "abcdef"[:3]]
        bench.gate.set()
        assert [await bench.pieces(answer) for answer in answers] == [[1, 0]] * 3
        assert all(len(step) == 1 for step in bench.steps)

    run(test())


def test_a_full_batch_holds_up_only_those_that_wait_for_it() -> None:
    async def test() -> None:
        bench = Bench(room=1)
        answers = [bench.submit(count, key) for count, key in ((3, "a"), (2, "a"), (1, "b"))]
        bench.gate.set()
        assert [await bench.pieces(answer) for answer in answers] == [[2, 1, 0], [1, 0], [0]]
        assert bench.steps[1] == [1], "the last came before the second, which waited for the first"
        assert bench.steps[-2:] == [[2], [1]]

    run(test())


def test_a_failing_step_is_repeated_for_each_request_alone() -> None:
    async def test() -> None:
        bench = Bench(room=3)
        good, bad, also_good = bench.submit(2), bench.submit(13), bench.submit(1)
        bench.gate.set()
        assert await bench.pieces(good) == [1, 0]
        assert await bench.pieces(also_good) == [0]
        with pytest.raises(RuntimeError, match="bad luck"):
            await bench.pieces(bad)
        assert await bench.pieces(bench.submit(1)) == [0]

    run(test())


def test_what_a_search_finds_unreachable_is_a_mistake_of_its_own_request() -> None:
    async def test() -> None:
        bench = Bench(room=4, queue=4)
        good, unreachable, broken, also_good = (bench.submit(count) for count in (2, 15, 14, 1))
        bench.gate.set()
        assert await bench.pieces(good) == [1, 0]
        assert await bench.pieces(also_good) == [0]
        statuses = []
        for answer in (unreachable, broken):
            with pytest.raises((InputError, ApiError)) as error:
                await bench.pieces(answer)
            statuses.append(api_error(error.value, {}, "id").status)
        assert statuses == [400, 500]

    run(test())


def test_an_idle_worker_gives_memory_back_once_and_then_works_on(monkeypatch: pytest.MonkeyPatch) -> None:
    given, enough = list[int](), threading.Event()

    def give_back() -> None:
        if threading.current_thread().name == "worker of idler":  # those of other tests are idle too
            given.append(1)
            enough.set()

    monkeypatch.setattr(worker_module, "_IDLE_SECONDS", 0.01)
    monkeypatch.setattr(worker_module, "give_back", give_back)

    async def test() -> None:
        bench = Bench(name="idler")
        bench.gate.set()
        for times in (1, 2):
            assert await asyncio.to_thread(enough.wait, 10)
            await asyncio.sleep(0.1)
            assert len(given) == times
            enough.clear()
            assert await bench.pieces(bench.submit(1)) == [0]

    run(test())


def test_a_request_that_cannot_join_fails_alone() -> None:
    async def test() -> None:
        bench = Bench()
        good, bad = bench.submit(2), bench.submit(-1)
        bench.gate.set()
        with pytest.raises(InputError, match="negative"):
            await bench.pieces(bad)
        assert await bench.pieces(good) == [1, 0]
        nothing = Bench(room=0)
        with pytest.raises(InputError, match="too long for the model"):
            await nothing.pieces(nothing.submit(1))

    run(test())


def test_beyond_the_queue_requests_are_refused_with_a_time_to_come_back() -> None:
    async def test() -> None:
        bench = Bench(room=1, queue=2)
        answers = [bench.submit(1)]
        while bench.worker._waiting:
            await asyncio.sleep(0.01)
        answers += [bench.submit(1), bench.submit(1)]
        with pytest.raises(Busy, match="has 2 requests waiting") as refused:
            bench.submit(1)
        assert refused.value.status == 429
        assert int(refused.value.headers["retry-after"]) >= 1
        bench.gate.set()
        for answer in answers:
            assert await bench.pieces(answer) == [0]

    run(test())


def test_who_goes_away_leaves_the_batch_or_the_queue() -> None:
    async def test() -> None:
        bench = Bench(room=1)
        running, waiting = bench.submit(1000), bench.submit(1000)
        await asyncio.sleep(0.05)
        waiting.close()
        running.close()
        last = bench.submit(1)
        bench.gate.set()
        assert await bench.pieces(last) == [0]
        assert len(bench.steps) < 5
        with pytest.raises(ClientGone):
            await running.next()

    run(test())


def test_a_worker_that_stops_finishes_what_runs_and_refuses_the_rest() -> None:
    async def test() -> None:
        bench = Bench(room=1)
        running, waiting = bench.submit(3), bench.submit(3)
        while len(bench.worker._waiting) > 1:
            await asyncio.sleep(0.01)
        bench.worker.stop()
        with pytest.raises(Busy, match="is stopping"):
            await waiting.next()
        with pytest.raises(Busy, match="is stopping"):
            bench.submit(1)
        bench.gate.set()
        assert await bench.pieces(running) == [2, 1, 0]
        bench.worker.join(5)
        assert not bench.worker.alive

    run(test())


def test_a_worker_that_dies_answers_everybody() -> None:
    async def test() -> None:
        bench = Bench(room=1)
        answers = [bench.submit(99), bench.submit(1)]
        bench.gate.set()
        for answer in answers:
            with pytest.raises(ApiError, match="has stopped working") as dead:
                await answer.next()
            assert dead.value.status == 503
        bench.worker.join(5)
        with pytest.raises(ApiError, match="has stopped working"):
            bench.submit(1)

    run(test())


def test_a_worker_without_work_sleeps() -> None:
    async def test() -> None:
        bench = Bench()
        bench.gate.set()
        assert await bench.pieces(bench.submit(1)) == [0]
        calls: list[int] = []
        original = bench.worker._fill
        bench.worker._fill = lambda: (calls.append(1), original())[1]  # type: ignore[method-assign]
        await asyncio.sleep(0.2)
        assert len(calls) <= 1

    run(test())
