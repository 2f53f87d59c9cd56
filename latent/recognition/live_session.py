"""Streams that take turns with one model, for a server."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from latent.recognition.live import LiveChunk


@dataclass(frozen=True)
class LiveHeard:
    """What a step gave for a piece of audio, by the key that `add` gave.

    Args:
        key: Of the piece.
        found: A chunk of text; None: there are no more; or what went wrong.
    """

    key: int
    found: LiveChunk | Exception | None

    @property
    def is_last(self) -> bool:
        """Whether the piece has left."""
        return not isinstance(self.found, LiveChunk)


class LiveSession:
    """Pieces of audio of several streams; each stream has the text that it would have alone.

    Args:
        max_rows: Maximum number of pieces.
        max_seconds: Of all pieces whose length is given; one alone may be longer.
    """

    def __init__(self, max_rows: int, max_seconds: float = math.inf) -> None:
        self._max_rows, self._max_seconds = max_rows, max_seconds
        self._pieces: dict[int, Iterator[LiveChunk]] = {}
        self._seconds: dict[int, float] = {}
        self._added = 0

    def __len__(self) -> int:
        return len(self._pieces)

    def has_room(self, seconds: float = 0.0) -> bool:
        """Whether another piece, of that length, may join."""
        fits = not self._pieces or sum(self._seconds.values()) + seconds <= self._max_seconds
        return fits and len(self._pieces) < self._max_rows

    def add(self, chunks: Iterator[LiveChunk], seconds: float = 0.0) -> int:
        """Let a piece join, as `LiveTranscript.push`, `close` or `followed` gives its chunks; its key."""
        self._added += 1
        self._pieces[self._added], self._seconds[self._added] = chunks, seconds
        return self._added

    def remove(self, key: int) -> None:
        """Let a piece leave; its stream cannot go on."""
        self._pieces.pop(key, None)
        self._seconds.pop(key, None)

    def step(self) -> list[LiveHeard]:
        """Hear one window of each piece at most; those that are heard to their end leave.

        What goes wrong with a stream is its own: the others go on.
        """
        heard = []
        for key, chunks in list(self._pieces.items()):
            try:
                found: LiveChunk | Exception | None = next(chunks, None)
            except Exception as error:
                found = error
            heard.append(LiveHeard(key, found))
            if heard[-1].is_last:
                self.remove(key)
        return heard
