"""WebSockets with the limits of the server, and with errors as messages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from s2s.json_files import dump_json
from unilatent.server.errors import ApiError, ClientGone, api_error
from unilatent.server.service import Service

logger = logging.getLogger(__name__)

SUBPROTOCOL = "realtime"
"""What clients of OpenAI ask for; the only one that is ever chosen."""
_DONE, _WRONG, _FAILED = 1000, 1008, 1011  # codes of closing, RFC 6455, 7.4.1


class Socket:
    """One connection.

    Args:
        websocket: Not yet accepted.
        service: The models and the limits.
    """

    def __init__(self, websocket: WebSocket, service: Service) -> None:
        self._websocket, self._service = websocket, service

    @asynccontextmanager
    async def answering(self, told: Callable[[ApiError], Mapping[str, Any]]) -> AsyncIterator[None]:
        """Accepts the connection and closes it at the end of the block; an error there is told first."""
        offered = self._websocket.scope.get("subprotocols", ())
        await self._websocket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
        try:
            yield
            await self._close(_DONE)
        except ClientGone:
            self._abort()
        except Exception as error:
            try:
                problem = self.problem(error)
                await self.send(told(problem))
                await self._close(_FAILED if problem.status >= 500 else _WRONG)
            except ClientGone:
                self._abort()

    def problem(self, error: Exception) -> ApiError:
        """An error as clients may see it; one of ours is logged."""
        id = self._websocket.scope["state"]["request_id"]
        problem = api_error(error, self._service.names, id)
        if problem.code == "internal_error":
            logger.error("request %s failed", id, exc_info=error)
        return problem

    async def receive(self, waits: Callable[[], bool] = lambda: False) -> str | bytes:
        """The next message.

        Args:
            waits: Whether the client may be silent, since it waits for an answer.

        Raises:
            ClientGone: there is none.
            ApiError: it did not come in time.
        """
        seconds = self._service.limits.silent_seconds
        while True:
            try:
                return await asyncio.wait_for(self._receive(), seconds)
            except asyncio.TimeoutError:
                if not waits():
                    raise ApiError(408, f"nothing came for {seconds:g} seconds", "silent") from None

    async def gone(self) -> None:
        """Wait, without end, until the client has gone, which raises ClientGone."""
        while True:
            await self._receive()

    async def send(self, message: Mapping[str, Any]) -> None:
        """Send JSON; raises ClientGone, and ends the connection, if the client does not take it."""
        seconds = self._service.limits.stall_seconds
        try:
            await asyncio.wait_for(self._websocket.send_text(dump_json(message)), seconds)
        except (asyncio.TimeoutError, WebSocketDisconnect, OSError, RuntimeError):
            self._abort()
            raise ClientGone from None

    async def _receive(self) -> str | bytes:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise ClientGone
        text: str | None = message.get("text")
        return text if text is not None else bytes(message.get("bytes") or b"")

    async def _close(self, code: int) -> None:
        with suppress(WebSocketDisconnect, OSError, RuntimeError):  # the client was quicker
            await self._websocket.close(code)

    def _abort(self) -> None:
        if abort := self._websocket.scope["state"].get("abort"):
            abort()
