"""The answer with audio: pieces are encoded and sent while they are made."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from s2s.errors import InputError
from unilatent.server.answers import Answer, watched
from unilatent.server.audio_formats import MEDIA_TYPES, Encoder
from unilatent.server.errors import ApiError, ClientGone
from unilatent.server.metrics import Metrics
from unilatent.server.speech_jobs import Silence

logger = logging.getLogger(__name__)

_PIECE = 1 << 14  # bytes that are handed to the connection at once


class SpokenResponse(Response):
    """Sends what a worker makes.

    The head waits for the first piece, so that what goes wrong before it has its status. What goes wrong later ends
    the connection before the end of the answer, so that no client takes a part for the whole. A reader that is slower
    than the limits allow loses the connection; the worker never waits for a reader.

    Args:
        answer: Samples of 16 bits.
        encoder: For the format.
        format: One of `MEDIA_TYPES`.
        events: Whether to send server-sent events instead of the file itself.
        headers: More headers.
        stall_seconds: See `Limits`.
        metrics: Where dropped answers are counted.
    """

    def __init__(
        self,
        answer: Answer,
        encoder: Encoder,
        format: str,
        events: bool,
        headers: Mapping[str, str],
        stall_seconds: float,
        metrics: Metrics,
    ) -> None:
        media_type = "text/event-stream" if events else MEDIA_TYPES[format]
        super().__init__(media_type=media_type, headers={**headers, "cache-control": "no-store"})
        del self.headers["content-length"]
        self._answer, self._encoder, self._events = answer, encoder, events
        self._stall_seconds, self._metrics = stall_seconds, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer; ApiError and others before its first piece."""
        begun = False
        async with watched(self._answer, receive):
            try:
                async for content in self._contents():
                    if not begun:
                        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                        begun = True
                    await self._send(send, content)
                await self._send(send, b"", last=True)
            except Exception as error:
                if not begun and not isinstance(error, ClientGone):
                    raise
                self._note(scope, error)
                if abort := scope.get("state", {}).get("abort"):
                    abort()
                    await asyncio.sleep(0)

    async def _contents(self) -> AsyncIterator[bytes]:
        """The bytes of the answer, the first when there is a first sample."""
        piece = await self._answer.next()
        while piece is not None:
            for samples in piece.blocks() if isinstance(piece, Silence) else [piece]:
                content = await asyncio.to_thread(self._encoder.write, samples)
                yield self._event(content) if self._events else content
            piece = await self._answer.next()
        content = await asyncio.to_thread(self._encoder.close)
        if not self._events:
            yield content
            return
        yield self._event(content)
        usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
        yield _sse({"type": "speech.audio.done", "usage": usage})

    def _event(self, content: bytes) -> bytes:
        if not content:
            return b""
        return _sse({"type": "speech.audio.delta", "audio": base64.b64encode(content).decode()})

    async def _send(self, send: Send, content: bytes, last: bool = False) -> None:
        if last:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        for start in range(0, len(content), _PIECE):
            message = {"type": "http.response.body", "body": content[start : start + _PIECE], "more_body": True}
            try:
                await asyncio.wait_for(send(message), self._stall_seconds)
            except asyncio.TimeoutError:
                raise _TooSlow(f"read nothing for {self._stall_seconds:g} seconds") from None

    def _note(self, scope: Scope, error: Exception) -> None:
        id = scope.get("state", {}).get("request_id")
        expected = isinstance(error, (ClientGone, _TooSlow, InputError, ApiError))
        reason = {ClientGone: "disconnected", _TooSlow: "too slow"}.get(type(error), "failed")
        self._metrics.dropped.labels(reason).inc()
        said = "the client went away" if isinstance(error, ClientGone) else str(error)
        logger.warning("request %s: the answer was dropped: %s", id, said, exc_info=None if expected else error)


class _TooSlow(Exception):
    pass


def _sse(event: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(event).encode() + b"\n\n"
