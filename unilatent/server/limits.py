"""What one request may ask for, and how long a connection may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of the server; the defaults suit a small machine."""

    queue: int = 32
    """Requests that may wait for one model."""
    max_rows: int = 16
    """Texts that one model works on at once."""
    characters: int = 4096
    """Characters of a text to speak; OpenAI has the same limit."""
    source_characters: int = 20_000
    """Characters of a script, and of each text that something is generated from."""
    texts: int = 64
    """Texts in one request."""
    audio_seconds: float = 600.0
    """Expected length of one spoken answer in seconds."""
    hypotheses: int = 16
    """Outputs for each text, and the size of a beam."""
    new_tokens: int = 512
    """Tokens generated for each text."""
    body_bytes: int = 1 << 18
    """Size of the body of a request."""
    upload_bytes: int = 25 << 20
    """Size of the body of a request that brings a file; OpenAI has the same limit."""
    uploads: int = 16
    """Such bodies that arrive at once; others get 429."""
    streams: int = 8
    """Recordings that one model follows at once while they are made; others get 429."""
    stream_seconds: float = 7200.0
    """Length of such a recording."""
    message_bytes: int = 1 << 20
    """Size of a message of a WebSocket."""
    header_bytes: int = 1 << 15
    """Size of the headers of a request."""
    requests: int = 512
    """Requests of all kinds that are answered at once; others get 503."""
    unread_bytes: int = 1 << 20
    """Part of an answer that may wait for its reader; with more, speaking pauses until the reader has caught up."""
    header_seconds: float = 10.0
    """Time for the head of a request to arrive."""
    body_seconds: float = 10.0
    """Time for the body of a request to arrive."""
    upload_seconds: float = 60.0
    """Time for a file to arrive."""
    silent_seconds: float = 60.0
    """Time for which a WebSocket may bring nothing."""
    request_seconds: float = 300.0
    """Time from a request to the first piece of its answer, and from one piece to the next."""
    stall_seconds: float = 30.0
    """Time that a reader may take for a piece of its answer; then the connection is dropped."""
    idle_seconds: int = 30
    """Time that a connection is kept for its next request."""
    stop_seconds: int = 60
    """Time for answers to finish when the server stops."""

    @property
    def open_answers(self) -> int:
        """Maximum number of answers of one model that wait, are being made, or are not yet read to their end."""
        return 2 * self.queue + self.max_rows
