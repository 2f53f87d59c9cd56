"""Live transcriptions as jobs of a worker: audio is heard as it comes, one piece at a time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from latent.audio.files import Samples
from latent.recognition.live import LiveChunk, LiveTranscript
from latent.recognition.live_session import LiveHeard, LiveSession
from latent.recognition.recognizer import Recognizer
from latent.recognition.transcript import Transcript
from unilatent.server.answers import Answer
from unilatent.server.metrics import ModelMetrics
from unilatent.server.worker import Job

_PIECE_SECONDS = 1.0
_SEGMENT_BYTES = 500  # about what a segment takes in memory


@dataclass(frozen=True)
class Followed:
    """A piece of the answer.

    Args:
        chunk: What is new; None at the end.
        transcript: All so far.
    """

    chunk: LiveChunk | None
    transcript: Transcript


class LiveJob(Job):
    """Follows a stream; the pieces of its answer are `Followed`. It is submitted with its first samples.

    Args:
        recognizer: What listens.
        sample_rate: Of the stream, in Hz.
        context: Hot words, which the recognizer has checked.
        answer: Where the text goes.
        max_rows: Of a session that this job opens.
        metrics: Figures of the model.
        on_heard: Called by the worker when `unheard_bytes` has become smaller.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        sample_rate: int,
        context: str,
        answer: Answer,
        max_rows: int,
        metrics: ModelMetrics,
        on_heard: Callable[[], None],
    ) -> None:
        super().__init__("live", answer)
        self._recognizer, self._rate, self._context = recognizer, sample_rate, context
        self._max_rows, self._metrics, self._on_heard = max_rows, metrics, on_heard
        self._live: LiveTranscript | None = None
        self._lock, self._pieces = threading.Lock(), deque[Samples]()
        self.unheard_bytes = 0
        self._ended = self._closing = self._joined = self._finished = False
        self._work_seconds = 0.0

    def push(self, samples: Samples) -> None:
        """More samples `(L,)`; called in the event loop, which then wakes the worker."""
        with self._lock:
            self._pieces.append(samples)
            self.unheard_bytes += samples.nbytes

    def end(self) -> None:
        """Nothing follows; called in the event loop, which then wakes the worker."""
        self._ended = True

    def open_session(self) -> LiveSession:
        return LiveSession(self._max_rows)

    def has_next(self) -> bool:
        busy = self._joined or self._closing or self.answer.is_full
        return not busy and bool(self._pieces or self._ended)

    def has_room(self, session: LiveSession) -> bool:
        return session.has_room()

    def join(self, session: LiveSession) -> int:
        if self._live is None:
            self._live = self._recognizer.follow(self._rate, self._context)
        samples = self._next()
        self._joined, self._closing = True, not len(samples)
        return session.add(self._live.push(samples) if len(samples) else self._live.close())

    def receive(self, item: LiveHeard) -> bool:
        if isinstance(item.found, Exception):
            raise item.found
        if item.found is not None:
            self._work_seconds += item.found.work_seconds
            self._put(item.found)
            return False
        self._joined = False
        if self._closing:
            transcript = self._put(None)
            self._metrics.worked(transcript.seconds, self._work_seconds)
            self._finished = True
        return True

    def finished(self) -> bool:
        return self._finished

    def begin_again(self) -> None:
        self._joined = False  # a session of streams reports each fault at its stream, and is never lost

    def _next(self) -> Samples:
        """About a second of what waits, or nothing at the end."""
        taken, count = [np.empty(0, np.float32)], 0
        with self._lock:
            while self._pieces and count < _PIECE_SECONDS * self._rate:
                taken.append(self._pieces.popleft())
                count += len(taken[-1])
            self.unheard_bytes -= 4 * count
        self._on_heard()
        return np.concatenate(taken)

    def _put(self, chunk: LiveChunk | None) -> Transcript:
        assert self._live is not None
        transcript = self._live.transcript()
        self.answer.put(Followed(chunk, transcript), _SEGMENT_BYTES * (1 + len(transcript.segments)))
        return transcript
