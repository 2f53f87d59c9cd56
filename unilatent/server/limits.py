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
    """Of a text to speak, as OpenAI has it."""
    source_characters: int = 20_000
    """Of a script, and of each text that something is generated from."""
    texts: int = 64
    """In one request for text."""
    audio_seconds: float = 600.0
    """Expected length of one spoken answer."""
    hypotheses: int = 16
    """Outputs for each text, and the size of a beam."""
    new_tokens: int = 512
    """Generated for each text."""
    body_bytes: int = 1 << 18
    """Of one request."""
    header_bytes: int = 1 << 15
    """Of one request."""
    requests: int = 512
    """Answered at once, of all kinds; others get 503."""
    unread_bytes: int = 1 << 20
    """Of an answer that may wait for its reader; then its text is not spoken further until the reader has caught up."""
    header_seconds: float = 10.0
    """For the head of a request to arrive."""
    body_seconds: float = 10.0
    """For the body of a request to arrive."""
    request_seconds: float = 300.0
    """From a request to the first piece of its answer, and from one piece to the next."""
    stall_seconds: float = 30.0
    """That a reader may take for a piece of its answer; then the connection is dropped."""
    idle_seconds: int = 30
    """That a connection is kept for its next request."""
    stop_seconds: int = 60
    """For answers to finish when the server stops."""

    @property
    def open_answers(self) -> int:
        """Answers of one model that are waited for, made, or not yet read to their end."""
        return 2 * self.queue + self.max_rows
