"""Transcriptions as jobs of a worker: each recording is a row, and its transcript is the answer."""

from __future__ import annotations

import time

from latent.recognition.recognizer import RecognitionRequest, Recognizer
from latent.recognition.session import Heard, RecognitionSession
from s2s.errors import InputError
from unilatent.server.answers import Answer
from unilatent.server.errors import ApiError
from unilatent.server.metrics import ModelMetrics
from unilatent.server.worker import Job


class RecognitionJob(Job):
    """Hears a recording; the one piece of its answer is a `Transcript`.

    Args:
        recognizer: What listens.
        request: The recording.
        answer: Where the transcript goes.
        max_rows: Of a session that this job opens.
        metrics: Figures of the model.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        request: RecognitionRequest,
        answer: Answer,
        max_rows: int,
        metrics: ModelMetrics,
    ) -> None:
        super().__init__("recognition", answer)
        self._recognizer, self._request = recognizer, request
        self._max_rows, self._metrics = max_rows, metrics
        self._joined = self._finished = False
        self._started = 0.0

    def open_session(self) -> RecognitionSession:
        return RecognitionSession(self._recognizer, self._max_rows)

    def has_next(self) -> bool:
        return not self._joined

    def has_room(self, session: RecognitionSession) -> bool:
        return session.has_room()

    def join(self, session: RecognitionSession) -> int:
        self._joined, self._started = True, time.monotonic()
        return session.add(self._request)

    def receive(self, item: Heard) -> bool:
        if isinstance(item.found, InputError):  # the recording is the client's
            raise ApiError(400, str(item.found), "invalid_value", "file")
        self._metrics.worked(item.found.seconds, time.monotonic() - self._started)
        self.answer.put(item.found)
        self._finished = True
        return True

    def finished(self) -> bool:
        return self._finished

    def begin_again(self) -> None:
        self._joined = False
