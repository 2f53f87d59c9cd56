"""Streams that take turns with one model, for a server."""

from __future__ import annotations

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
    """

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._pieces: dict[int, Iterator[LiveChunk]] = {}
        self._added = 0

    def __len__(self) -> int:
        return len(self._pieces)

    def has_room(self) -> bool:
        """Whether another piece may join."""
        return len(self._pieces) < self._max_rows

    def add(self, chunks: Iterator[LiveChunk]) -> int:
        """Let a piece join, as `LiveTranscript.push` or `close` gives its chunks; its key."""
        self._added += 1
        self._pieces[self._added] = chunks
        return self._added

    def remove(self, key: int) -> None:
        """Let a piece leave; its stream cannot go on."""
        self._pieces.pop(key, None)

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
                del self._pieces[key]
        return heard
