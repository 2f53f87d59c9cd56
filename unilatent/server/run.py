"""Listens, and starts and stops the server."""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import Any

import uvicorn

from s2s.errors import InputError
from unilatent.server.app import build_app
from unilatent.server.connections import protocol, websocket_protocol
from unilatent.server.service import Service

logger = logging.getLogger(__name__)

_SEND_BUFFER = 1 << 18  # bytes of an answer that the system holds for a slow reader
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def bind(host: str, port: int) -> socket.socket:
    """The socket to listen at; InputError if the port is taken or the address is not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise InputError(f"--host {host} --port {port}: cannot be used: {error.strerror}; give another") from error
    return listener


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


class Server(uvicorn.Server):
    """uvicorn, which tells the workers of a signal at once, so that what still waits is refused."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop after what is begun; at the second Ctrl-C at once."""
        self._service.stopping = True
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Refuse what waits, finish what is begun."""
        self._service.stop()
        await super().shutdown(sockets)


def make_server(
    service: Service, api_key: str | None = None, hosts: Sequence[str] = (), origins: Sequence[str] = ()
) -> Server:
    """A server for `serve`; see `build_app`."""
    limits = service.limits
    options: dict[str, Any] = {
        "http": protocol(limits),
        "h11_max_incomplete_event_size": limits.header_bytes,
        "timeout_keep_alive": limits.idle_seconds,
        "timeout_graceful_shutdown": limits.stop_seconds,
    }
    if service.is_live:
        # without pings: where much is unheard, nothing is read for a while, so none would be answered
        options |= {"ws": websocket_protocol(), "ws_max_size": limits.message_bytes, "ws_ping_interval": None}
        options["ws_per_message_deflate"] = False
    app = build_app(service, api_key, hosts, origins)
    config = uvicorn.Config(app, **{"ws": "none", **options}, log_config=None, server_header=False)
    return Server(config, service)
