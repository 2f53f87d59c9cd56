"""Transcriptions as jobs of a worker: each recording is a row, and its transcript is the answer."""

from __future__ import annotations

import time

from latent.recognition.live import LiveTranscript, followed
from latent.recognition.live_session import LiveHeard, LiveSession
from latent.recognition.recognizer import BATCH_SECONDS, RecognitionRequest, Recognizer
from latent.recognition.session import Heard, RecognitionSession
from latent.recognition.transcript import Transcript
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


class FollowedRecordingJob(Job):
    """Hears a recording window by window, in turn with others and with what is still being recorded; see
    `RecognitionJob`. For live recognizers.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        request: RecognitionRequest,
        answer: Answer,
        max_rows: int,
        metrics: ModelMetrics,
    ) -> None:
        super().__init__("followed recordings", answer)
        self._recognizer, self._request = recognizer, request
        self._max_rows, self._metrics = max_rows, metrics
        self._live: LiveTranscript | None = None
        self._finished = False
        self._work_seconds = 0.0

    def open_session(self) -> LiveSession:
        return LiveSession(max(1, self._max_rows // 2), BATCH_SECONDS)  # the other places are for streams

    def has_next(self) -> bool:
        return self._live is None

    def has_room(self, session: LiveSession) -> bool:
        return session.has_room(self._request.seconds)

    def join(self, session: LiveSession) -> int:
        rate, request = self._recognizer.sample_rate, self._request
        self._live = self._recognizer.follow(rate, request.context)
        return session.add(followed(self._live, request.recording, rate), request.seconds)

    def receive(self, item: LiveHeard) -> bool:
        if isinstance(item.found, InputError):  # the recording is the client's
            raise ApiError(400, str(item.found), "invalid_value", "file")
        if isinstance(item.found, Exception):
            raise item.found
        if item.found is not None:
            self._work_seconds += item.found.work_seconds
            return False
        assert self._live is not None
        found = self._live.transcript()
        self._metrics.worked(found.seconds, self._work_seconds)
        self.answer.put(Transcript(found.segments, found.seconds, self._request.language, found.warnings))
        self._finished = True
        return True

    def finished(self) -> bool:
        return self._finished

    def begin_again(self) -> None:
        self._live = None
