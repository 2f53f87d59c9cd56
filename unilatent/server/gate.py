"""Checks of every request (host, key, size and time of its body), and the headers of every answer."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any
from urllib.parse import unquote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from unilatent.server.errors import ApiError, Busy, unreadable
from unilatent.server.limits import Limits
from unilatent.server.metrics import Metrics

logger = logging.getLogger(__name__)

Message = MutableMapping[str, Any]

_DRAINED = 32
"""A body that is too long is read up to this many times the limit, so that its sender gets the error."""

UPLOADS = ("/v1/audio/transcriptions", "/v1/images/captions")
"""The endpoints whose bodies bring a file."""

KEY_PROTOCOL = "openai-insecure-api-key."
"""Before a key among the protocols of a WebSocket, as in OpenAI's client for browsers; the key is percent-encoded."""

SECURITY = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
}


class Gate:
    """ASGI middleware around the application.

    Args:
        app: What answers.
        limits: Limits of headers, bodies and the number of requests.
        metrics: Where answers are counted.
        api_key: Without it, requests under /v1 and /metrics get 401; None asks for none.
        hosts: Names that the header `host` may have; empty allows any.
        origins: Of other pages whose scripts may open a WebSocket, which browsers leave to the server to check.
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        metrics: Metrics,
        api_key: str | None,
        hosts: Collection[str],
        origins: Collection[str] = (),
    ) -> None:
        self._app, self._limits, self._metrics = app, limits, metrics
        self._key, self._hosts, self._active, self._uploads = api_key, frozenset(hosts), 0, 0
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or one WebSocket until it is closed."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        begun, id = time.monotonic(), uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = id
        status, ended = 0, False
        self._active += 1

        async def sending(message: Message) -> None:
            nonlocal status, ended
            kind = message["type"].removeprefix("websocket.")
            if kind in ("http.response.start", "accept"):
                status = message.get("status", 101)
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = id
                for name, value in SECURITY.items():
                    headers.setdefault(name, value)
            await send(message)
            ended = kind == "close" or (kind == "http.response.body" and not message.get("more_body", False))

        try:
            try:
                self._check(scope)
                receive = await self._with_body(scope, receive)
            except ApiError as error:
                headers = {**error.headers, "connection": "close"}
                await JSONResponse(error.content, error.status, headers)(scope, receive, sending)
                return
            await self._app(scope, receive, sending)
        except Exception as error:  # the application has answered already, if it could
            logger.error("request %s failed", id, exc_info=error)
            abort = scope["state"].get("abort")
            if abort is not None and not ended:
                abort()
        finally:
            self._active -= 1
            endpoint = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(endpoint, str(status or "none")).inc()
            self._metrics.seconds.labels(endpoint).observe(time.monotonic() - begun)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if sum(len(name) + len(value) for name, value in headers.raw) > self._limits.header_bytes:
            raise unreadable(431)
        given = headers.get("host", "").lower()
        host = given[1:].partition("]")[0] if given.startswith("[") else given.partition(":")[0]
        if self._hosts and host not in self._hosts:
            raise ApiError(403, f"host: {host!r} is not a name of this server", "unknown_host", "host")
        if self._active > self._limits.requests:
            raise Busy("the server answers too many requests; try again later", 5, status=503, code="overloaded")
        if scope["type"] == "websocket":
            self._check_origin(headers)
        path = scope["path"]
        if self._key is None or not path.startswith(("/v1/", "/metrics")) or scope.get("method") == "OPTIONS":
            return
        key = _key_of(scope, headers)
        if not hmac.compare_digest(key.encode(), self._key.encode()):
            problem = "is not the right key" if key else "must be 'Bearer KEY'"
            raise ApiError(
                401, f"authorization: the header {problem}", "invalid_api_key", None, {"www-authenticate": "Bearer"}
            )

    def _check_origin(self, headers: Headers) -> None:
        """Refuse scripts of other pages; the page of the server itself has its host, and clients have no origin."""
        origin = headers.get("origin")
        if origin is None or origin in self._origins:
            return
        if urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
            message = f"origin: pages of {origin} may not use this server; --cors-origin allows one"
            raise ApiError(403, message, "unknown_origin", "origin")

    async def _with_body(self, scope: Scope, receive: Receive) -> Receive:
        """`receive` with the whole body in one message."""
        if scope["type"] == "websocket" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return receive
        upload, limits = scope["path"] in UPLOADS, self._limits
        most, seconds = (limits.body_bytes, limits.body_seconds)
        if upload:
            most, seconds = (limits.upload_bytes, limits.upload_seconds)
            if self._uploads >= limits.uploads:
                raise Busy("too many files arrive at once; try again later", 5)
        self._uploads += upload
        try:
            body = await asyncio.wait_for(_read(receive, most), seconds)
        except asyncio.TimeoutError:
            raise ApiError(408, f"the body did not arrive within {seconds:g} seconds", "body_timeout") from None
        finally:
            self._uploads -= upload
        given: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receiving() -> Message:
            return given.pop() if given else await receive()

        return receiving


def _key_of(scope: Scope, headers: Headers) -> str:
    """The key of a request; scripts in browsers, which cannot set headers of a WebSocket, name it as a protocol."""
    kind, _, key = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return key.strip()
    named = [name for name in scope.get("subprotocols", ()) if name.startswith(KEY_PROTOCOL)]
    return unquote(named[0].removeprefix(KEY_PROTOCOL)) if named else ""


async def _read(receive: Callable[[], Awaitable[Message]], most: int) -> bytes:
    size, pieces = 0, list[bytes]()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ApiError(400, "the body ended early", "incomplete_body")
        piece = message.get("body", b"")
        size += len(piece)
        if size <= most:
            pieces.append(piece)
        if not message.get("more_body", False) or size > most * _DRAINED:
            break
    if size > most:
        raise ApiError(413, f"the body must have at most {most:,} bytes", "body_too_large")
    return b"".join(pieces)
