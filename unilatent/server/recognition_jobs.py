"""Transcriptions as jobs of a worker: each recording is a row, and its transcript is the answer."""

from __future__ import annotations

import time
from typing import ClassVar

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


class RecordingJob(Job):
    """Hears a recording; the one piece of its answer is a `Transcript`.

    Args:
        recognizer: What listens.
        request: The recording.
        answer: Where the transcript goes.
        max_rows: Of a session that this job opens.
        metrics: Figures of the model.
    """

    sessions: ClassVar[str]
    """Jobs of one kind of session may share a batch."""

    def __init__(
        self,
        recognizer: Recognizer,
        request: RecognitionRequest,
        answer: Answer,
        max_rows: int,
        metrics: ModelMetrics,
    ) -> None:
        super().__init__(self.sessions, answer)
        self._recognizer, self._request = recognizer, request
        self._max_rows, self._metrics = max_rows, metrics
        self._finished = False

    def finished(self) -> bool:
        return self._finished

    def _give(self, transcript: Transcript, work_seconds: float) -> None:
        """Answer with the transcript."""
        self._metrics.worked(transcript.seconds, work_seconds)
        self.answer.put(transcript)
        self._finished = True


class RecognitionJob(RecordingJob):
    """Hears a recording together with others that wait."""

    sessions = "recognition"
    _started: float | None = None

    def open_session(self) -> RecognitionSession:
        return RecognitionSession(self._recognizer, self._max_rows)

    def has_next(self) -> bool:
        return self._started is None

    def has_room(self, session: RecognitionSession) -> bool:
        return session.has_room()

    def join(self, session: RecognitionSession) -> int:
        self._started = time.monotonic()
        return session.add(self._request)

    def receive(self, item: Heard) -> bool:
        if isinstance(item.found, InputError):
            raise _of_the_client(item.found)
        assert self._started is not None, "it has joined"
        self._give(item.found, time.monotonic() - self._started)
        return True

    def begin_again(self) -> None:
        self._started = None


class FollowedRecordingJob(RecordingJob):
    """Hears a recording window by window, in turn with others and with what is still being recorded; for live
    recognizers.
    """

    sessions = "followed recordings"
    _live: LiveTranscript | None = None
    _work_seconds = 0.0

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
        if isinstance(item.found, InputError):
            raise _of_the_client(item.found)
        if isinstance(item.found, Exception):
            raise item.found
        if item.found is not None:
            self._work_seconds += item.found.work_seconds
            return False
        assert self._live is not None, "it has joined"
        found = self._live.transcript()
        transcript = Transcript(found.segments, found.seconds, self._request.language, found.warnings)
        self._give(transcript, self._work_seconds)
        return True

    def begin_again(self) -> None:
        self._live = None


def _of_the_client(error: InputError) -> ApiError:
    """What is wrong with a recording, which the client sent."""
    return ApiError(400, str(error), "invalid_value", "file")
