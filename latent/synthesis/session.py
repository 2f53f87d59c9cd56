"""Requests that are spoken together, and come and go while others are spoken: what a server needs of a voice.

session = voice.session(max_rows=8)
key = session.add(request)             # whenever `session.has_room(request)`
while len(session):
    for chunk in session.step():       # those of all requests that have something to be heard
        play(chunk.key, chunk.samples)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from latent.audio.files import Samples
from latent.data.batch import GenerationPrompts
from latent.data.latent_store import Latents
from latent.data.speech_prompts import SpeechRequest
from latent.decoding.audio import AudioChunk, AudioRows
from latent.decoding.next_token_diffusion import Drawing
from latent.decoding.vibevoice import Speaking
from latent.decoding.vibevoice_realtime import Telling


@dataclass(frozen=True)
class SpokenChunk:
    """The next samples of a request.

    Args:
        key: From `SpeechSession.add`.
        samples: `(S,)`; may be none where the request ends.
        ended: True: the model ended it here; False: it was truncated at `max_frames`; None: it goes on.
        frames: The latents that the samples were decoded from, `(F, L)`; None from decoders that keep them.
    """

    key: int
    samples: Samples
    ended: bool | None
    frames: Latents | None = None


class SpeechSession(ABC):
    """Requests that are being spoken. Each sounds as it would alone."""

    @abstractmethod
    def has_room(self, request: SpeechRequest) -> bool:
        """Whether `add` can take a request now."""

    @abstractmethod
    def add(self, request: SpeechRequest) -> int:
        """Begin to speak a request of this voice, for which there is room; returns its key."""

    @abstractmethod
    def remove(self, key: int) -> None:
        """Forget a request that has not ended."""

    @abstractmethod
    def step(self) -> list[SpokenChunk]:
        """Speak on: at most one chunk of each request, and often none, since frames are decoded some at a time."""

    @abstractmethod
    def __len__(self) -> int:
        """Requests that have not ended."""


class OneByOne(SpeechSession):
    """One request at a time, for voices in which others cannot join it.

    Args:
        speak: The chunks of a request, as row 0.
    """

    def __init__(self, speak: Callable[[SpeechRequest], Iterator[AudioChunk]]) -> None:
        self._speak = speak
        self._key = -1
        self._chunks: Iterator[AudioChunk] | None = None

    def has_room(self, request: SpeechRequest) -> bool:
        return self._chunks is None

    def add(self, request: SpeechRequest) -> int:
        assert self._chunks is None, "one request at a time"
        self._key += 1
        self._chunks = self._speak(request)
        return self._key

    def remove(self, key: int) -> None:
        if key == self._key:
            self._chunks = None

    def step(self) -> list[SpokenChunk]:
        if self._chunks is None:
            return []
        spoken = [replace(chunk, key=self._key) for chunk in _spoken([next(self._chunks)])]
        if any(chunk.ended is not None for chunk in spoken):
            self._chunks = None
        return spoken

    def __len__(self) -> int:
        return int(self._chunks is not None)


class Joined(SpeechSession):
    """Requests that join a running batch.

    Args:
        drawing: Draws their latents.
        audio: Decodes these.
        prompts: What latents of requests are drawn from, on the device of the model.
        max_rows: Maximum number of requests.
    """

    def __init__(
        self,
        drawing: Drawing,
        audio: AudioRows,
        prompts: Callable[[Sequence[SpeechRequest]], GenerationPrompts],
        max_rows: int,
    ) -> None:
        self._drawing, self._audio, self._prompts, self._max_rows = drawing, audio, prompts, max_rows

    def has_room(self, request: SpeechRequest) -> bool:
        return len(self._drawing) < self._max_rows

    def add(self, request: SpeechRequest) -> int:
        assert self.has_room(request), f"no room for more than {self._max_rows} requests"
        return self._drawing.add(self._prompts([request]))[0]

    def remove(self, key: int) -> None:
        self._drawing.remove([key])
        self._audio.remove([key])

    def step(self) -> list[SpokenChunk]:
        return _spoken(self._audio.take(self._drawing.step())) if len(self._drawing) else []

    def __len__(self) -> int:
        return len(self._drawing)


class Sharing(SpeechSession):
    """Requests that join a running batch of a VibeVoice or VibeVoice-Realtime, whose rows share its positions.

    Args:
        speaking: Makes their audio.
        prompts: What it takes of requests, on the device of the model.
        max_rows: Maximum number of requests.
        max_positions: Of all rows together, each as long as the longest may become; a request alone may have more.
    """

    def __init__(
        self,
        speaking: Speaking | Telling,
        prompts: Callable[[Sequence[SpeechRequest]], Any],
        max_rows: int,
        max_positions: int,
    ) -> None:
        self._speaking, self._prompts = speaking, prompts
        self._max_rows, self._max_positions = max_rows, max_positions
        self._positions: dict[int, int] = {}

    def has_room(self, request: SpeechRequest) -> bool:
        if not self._positions:
            return True
        longest = max(_longest(request), *self._positions.values())
        rows = len(self._positions) + 1
        return rows <= self._max_rows and rows * longest <= self._max_positions

    def add(self, request: SpeechRequest) -> int:
        assert self.has_room(request), "no room for this request"
        key = self._speaking.add(self._prompts([request]))[0]
        self._positions[key] = _longest(request)
        return key

    def remove(self, key: int) -> None:
        self._speaking.remove([key])
        self._positions.pop(key, None)

    def step(self) -> list[SpokenChunk]:
        spoken = _spoken([self._speaking.step()]) if self._positions else []
        for chunk in spoken:
            if chunk.ended is not None:
                del self._positions[chunk.key]
        return spoken

    def __len__(self) -> int:
        return len(self._positions)


def _longest(request: SpeechRequest) -> int:
    """Positions that a request may take."""
    return len(request.tokens) + request.max_frames


def _spoken(chunks: Sequence[AudioChunk]) -> list[SpokenChunk]:
    """The chunks of a step, one for each row."""
    samples: dict[int, list[Samples]] = {}
    frames: dict[int, list[Latents]] = {}
    ended: dict[int, bool] = {}
    for chunk in chunks:
        for key, part in zip(chunk.rows, chunk.audio.float().cpu().numpy(), strict=True):
            samples.setdefault(key, []).append(part)
        if chunk.frames is not None:
            for key, drawn in zip(chunk.rows, chunk.frames.float().cpu().numpy(), strict=True):
                frames.setdefault(key, []).append(drawn)
        ended |= chunk.ended
    return [
        SpokenChunk(
            key,
            np.concatenate([np.empty(0, np.float32), *samples.get(key, [])]),
            ended.get(key),
            np.concatenate(frames[key]) if key in frames else None,
        )
        for key in samples | ended
    ]
