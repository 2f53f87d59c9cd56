"""Turns of speech in audio that is arriving, found by its level above the noise."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latent.audio.files import Samples

_FRAME_SECONDS = 0.02
_SURE_FRAMES = 3
"""Loud frames in a row that begin a turn; fewer are a click."""
_SPAN_DB = 24.0
"""Level above the noise at a threshold of 1."""
_QUIETEST_DB, _LOUDEST_DB = -66.0, -45.0
"""The least noise that is ever assumed, and the most that is assumed before any was heard, re full scale."""
_RISE_DB = 3.0
"""By which the noise is assumed to grow in a second; it falls at once."""


@dataclass(frozen=True)
class TurnSettings:
    """When a turn begins and ends.

    Args:
        threshold: From 0 to 1: how far, of 24 dB, sound must be above the noise.
        prefix_seconds: Of the audio before its first sound that belong to a turn.
        silence_seconds: After the last sound of a turn, which belong to it.
    """

    threshold: float = 0.5
    prefix_seconds: float = 0.3
    silence_seconds: float = 0.5


@dataclass(frozen=True)
class TurnPiece:
    """Some samples `(L,)` of a turn.

    Args:
        start: When the turn begins, in seconds, if they are its first samples.
        end: When it ends, if they are its last ones.
    """

    samples: Samples
    start: float | None
    end: float | None


class TurnDetector:
    """Samples go in, those of turns come out; how they are cut changes no turn.

    Noise is the lowest level of late: it follows each quieter frame at once, and otherwise grows slowly.
    """

    def __init__(self, sample_rate: int, settings: TurnSettings) -> None:
        self._size, self._settings = max(1, round(_FRAME_SECONDS * sample_rate)), settings
        self._frame_seconds = self._size / sample_rate
        self._patience = max(1, round(settings.silence_seconds / self._frame_seconds))
        prefix = round(settings.prefix_seconds / self._frame_seconds)
        self._before = deque[Samples](maxlen=prefix + _SURE_FRAMES)
        self._waiting, self._frames = np.empty(0, np.float32), 0
        self._noise: float | None = None
        self._turn: list[Samples] = []
        self._start: float | None = None
        self.reset()

    def push(self, samples: Samples) -> Iterator[TurnPiece]:
        """What the next samples `(L,)` add to turns."""
        self._waiting = np.concatenate([self._waiting, samples])
        count = len(self._waiting) // self._size
        frames = self._waiting[: count * self._size].reshape(count, self._size)
        self._waiting = self._waiting[count * self._size :]
        for frame, level in zip(frames, _levels(frames), strict=True):
            self._frames += 1
            if self._hear(frame, self._is_loud(level)):
                yield self._piece(end=self._frames * self._frame_seconds)
                self.reset()
        if self._turn:
            yield self._piece(None)

    def reset(self) -> None:
        """End a turn under way, whose client knows that it has ended; the next one begins with new sound."""
        self._turn.clear()
        self._before.clear()
        self._start, self._speaking, self._loud, self._quiet = None, False, 0, 0

    def _hear(self, frame: Samples, is_loud: bool) -> bool:
        """Take a frame; whether a turn ends with it."""
        if self._speaking:
            self._turn.append(frame)
            self._quiet = 0 if is_loud else self._quiet + 1
            return self._quiet == self._patience
        self._before.append(frame)
        self._loud = self._loud + 1 if is_loud else 0
        if self._loud == _SURE_FRAMES:
            self._start, self._speaking = (self._frames - len(self._before)) * self._frame_seconds, True
            self._turn.extend(self._before)
        return False

    def _is_loud(self, level: float) -> bool:
        """Whether a frame of that level in dB is sound; learns the noise from it."""
        if self._noise is None:
            self._noise = min(level, _LOUDEST_DB)
        self._noise = max(_QUIETEST_DB, min(level, self._noise + _RISE_DB * self._frame_seconds))
        return level - self._noise > _SPAN_DB * self._settings.threshold

    def _piece(self, end: float | None) -> TurnPiece:
        piece = TurnPiece(np.concatenate(self._turn), self._start, end)
        self._turn.clear()
        self._start = None
        return piece


def _levels(frames: NDArray[np.float32]) -> NDArray[np.float64]:
    """Levels of frames `(F, S)` in dB re full scale."""
    power: NDArray[np.float64] = np.square(frames, dtype=np.float64).mean(axis=1)
    return 10 * np.log10(power + 1e-12)
