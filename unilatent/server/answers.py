"""What a worker's thread hands to the request that waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from unilatent.server.errors import Busy, ClientGone

_END = object()


class Answer:
    """Pieces of an answer in order, then its end or an error. Made in the event loop; `on_close` is called once."""

    def __init__(self, seconds: float, on_close: Callable[[], None] = lambda: None) -> None:
        self._loop, self._seconds, self._on_close = asyncio.get_running_loop(), seconds, on_close
        self._pieces: asyncio.Queue[Any] = asyncio.Queue()
        self.cancelled = False
        """Whether nobody waits for it any more; the worker looks at this before each step."""

    def put(self, piece: Any) -> None:
        """Append a piece; called by the worker, and never waits."""
        try:
            self._loop.call_soon_threadsafe(self._pieces.put_nowait, piece)
        except RuntimeError:  # the loop is closed
            self.cancelled = True

    def end(self) -> None:
        """Nothing follows; called by the worker."""
        self.put(_END)

    def fail(self, error: Exception) -> None:
        """An error takes the place of what would follow; called by the worker."""
        self.put(error)

    def close(self) -> None:
        """Tell the worker that nobody waits, and a waiting `next` too; called in the event loop."""
        if not self.cancelled:
            self.cancelled = True
            self._pieces.put_nowait(ClientGone())
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
            piece = await asyncio.wait_for(self._pieces.get(), self._seconds)
        except asyncio.TimeoutError:
            raise Busy(
                f"no answer within {self._seconds:g} seconds; try again later", 30, status=503, code="timeout"
            ) from None
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
