"""HTTP connections with a time limit on the head of each request, and with errors as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from unilatent.server.errors import unreadable
from unilatent.server.limits import Limits

_LINGER_SECONDS = 1.0


def websocket_protocol() -> type[asyncio.Protocol]:
    """A class of WebSockets for uvicorn, which logs an error of its own after each connection that was refused."""
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

    class WebSocketConnection(WebSocketsSansIOProtocol):
        async def send(self, message: Any) -> None:
            await super().send(message)
            self.handshake_complete = self.handshake_complete or (self.initial_response is not None and self.close_sent)

    return WebSocketConnection


def protocol(limits: Limits) -> type[H11Protocol]:
    """A class of connections for uvicorn.

    uvicorn waits without end for the first request of a connection, and answers a head that it cannot read in plain
    text. `scope["state"]["abort"]` ends a connection at once, whatever its reader has still to read.
    """

    class Connection(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._refused = self._upgraded = False
            self.app_state = {**self.app_state, "abort": transport.abort}
            self._expect_request(None, limits.header_seconds)

        def on_response_complete(self) -> None:
            answered = self.cycle
            super().on_response_complete()
            self._expect_request(answered, limits.idle_seconds + limits.header_seconds)

        def handle_websocket_upgrade(self, event: h11.Request) -> None:
            self._upgraded = True
            super().handle_websocket_upgrade(event)

        def _expect_request(self, last: Any, seconds: float) -> None:
            """Abort unless a request other than the last one has begun in time."""

            def check() -> None:
                if self.cycle is last and not (self._upgraded or self.transport.is_closing()):
                    self.transport.abort()

            self.loop.call_later(seconds, check)

        def send_400_response(self, msg: str) -> None:
            reason = sys.exc_info()[1]
            error = unreadable(getattr(reason, "error_status_hint", 400))
            content = json.dumps(error.content).encode()
            headers = [("content-type", "application/json"), ("connection", "close")]
            head = h11.Response(
                status_code=error.status, headers=[*headers, ("content-length", str(len(content)))], reason=b""
            )
            for event in (head, h11.Data(data=content), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
            self._refused = True
            self.transport.write_eof()  # closed at once, what is unread would take the answer with it
            self.loop.call_later(_LINGER_SECONDS, self.transport.abort)

        def data_received(self, data: bytes) -> None:
            if not self._refused:
                super().data_received(data)

    return Connection
