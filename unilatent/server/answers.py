"""Answers: how a worker's thread hands results to the request that waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from unilatent.server.errors import Busy, ClientGone

_END = object()


class Answer:
    """Pieces of an answer in order, then its end or an error. Made in the event loop.

    Args:
        seconds: Maximum time that `next` waits.
        most_unread: Size of the pieces that may wait for the reader before the worker should pause.
        on_caught_up: Called in the event loop when the reader has caught up.
        on_close: Called in the event loop once, when nobody needs the answer any more.
    """

    def __init__(
        self, seconds: float, most_unread: int, on_caught_up: Callable[[], None], on_close: Callable[[], None]
    ) -> None:
        self._loop, self._seconds = asyncio.get_running_loop(), seconds
        self._on_caught_up, self._on_close = on_caught_up, on_close
        self._pieces: asyncio.Queue[Any] = asyncio.Queue()
        self._most_unread, self._put, self._read = most_unread, 0, 0
        self.cancelled = False
        """Whether nobody waits for it any more; the worker looks at this before each step."""

    @property
    def is_full(self) -> bool:
        """Whether so much is unread that no more should be made now."""
        return self._put - self._read > self._most_unread

    def put(self, piece: Any, size: int = 0) -> None:
        """Append a piece; called by the worker, and never waits."""
        self._put += size
        try:
            self._loop.call_soon_threadsafe(self._pieces.put_nowait, (piece, size))
        except RuntimeError:  # the loop is closed
            self.cancelled = True

    def end(self) -> None:
        """Nothing follows; called by the worker."""
        self.put(_END)

    def fail(self, error: Exception) -> None:
        """An error takes the place of what would follow; called by the worker."""
        self.put(error)

    def close(self) -> None:
        """Tell the worker, and a waiting `next`, that nobody needs the answer; called in the event loop."""
        if not self.cancelled:
            self.cancelled = True
            self._pieces.put_nowait((ClientGone(), 0))
            self._on_close()

    async def next(self) -> Any:
        """The next piece, or None at the end.

        Raises:
            ClientGone: the answer was closed.
            Busy: the worker took too long.
            Exception: what the worker reports.
        """
        if self.cancelled:
            raise ClientGone
        try:
            piece, size = await asyncio.wait_for(self._pieces.get(), self._seconds)
        except asyncio.TimeoutError:
            message = f"no answer within {self._seconds:g} seconds; try again later"
            raise Busy(message, 30, status=503, code="timeout") from None
        was_full = self.is_full
        self._read += size
        if was_full and not self.is_full:
            self._on_caught_up()
        if isinstance(piece, Exception):
            raise piece
        return None if piece is _END else piece


@asynccontextmanager
async def watched(answer: Answer, receive: Callable[[], Any]) -> AsyncIterator[Answer]:
    """Closes an answer at the end of the block, or as soon as the client goes away."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        answer.close()

    watcher = asyncio.create_task(watch())
    try:
        yield answer
    finally:
        watcher.cancel()
        with suppress(asyncio.CancelledError):
            await watcher
        answer.close()
