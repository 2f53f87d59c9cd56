"""A recording that is still being made, and its text: what the endpoints of live transcription share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, suppress

from latent.audio.arriving import SampleBytes, SampleFormat
from latent.audio.files import Samples
from latent.recognition.transcript import Transcript
from unilatent.server.answers import Answer
from unilatent.server.errors import ApiError, ClientGone
from unilatent.server.live_jobs import Followed, LiveJob
from unilatent.server.models import RecognitionModel


class LiveStream:
    """Bytes of audio go in, and text comes out; made in the event loop, and closed there when nobody needs it.

    Args:
        model: Of a live recognizer.
        format: Of the samples; None: the bytes are a WAV file.
        context: Hot words, checked.

    Raises:
        Busy: the model follows as many recordings as it may, or has no room for another answer.
    """

    def __init__(self, model: RecognitionModel, format: SampleFormat | None, context: str) -> None:
        self._model, self._context = model, context
        self._bytes = SampleBytes("audio", format, "name another encoding for other audio")
        self._answer: Answer = model.worker.answer()
        self._place = ExitStack()
        try:
            self._place.enter_context(model.following())
        except BaseException:
            self._answer.close()
            raise
        self._job: LiveJob | None = None
        self._heard, self._given = asyncio.Event(), 0

    async def hear(self, content: bytes) -> None:
        """Take the next bytes; waits while too much is unheard.

        Raises:
            ClientGone: the stream was closed.
            InputError: it is not the audio that was announced.
            ApiError: the recording is too long, or the worker cannot take it.
        """
        self._check_open()
        await self.take(self._bytes.push(content))

    async def take(self, samples: Samples) -> None:
        """Take the next samples `(L,)` at the rate of its format; waits and raises as `hear`."""
        self._check_open()
        if not len(samples) or self._bytes.format is None:
            return
        job = self._job or self._start(self._bytes.format.sample_rate)
        self._given += len(samples)
        limits = self._model.limits
        if self._given > limits.stream_seconds * self._bytes.format.sample_rate:
            most = f"{limits.stream_seconds:,.0f} seconds"
            raise ApiError(400, f"audio: lasts more than {most}; end here and begin another", "too_long", "audio")
        job.push(samples)
        self._submit_or_wake(job)
        while job.unheard_bytes > limits.upload_bytes:
            self._heard.clear()
            if job.unheard_bytes > limits.upload_bytes:
                await self._heard.wait()
            self._check_open()

    def end(self) -> None:
        """Nothing follows; raises as `hear`, and InputError if the bytes end within the header of a WAV file."""
        self._check_open()
        self._bytes.close()
        if self._job is None:
            self._answer.put(Followed(None, Transcript([], 0.0)))
            self._answer.end()
        else:
            self._job.end()
            self._model.worker.wake()

    def fail(self, error: Exception) -> None:
        """Let `followed` raise an error after what is there already."""
        self._answer.fail(error)

    def close(self) -> None:
        """Free all that the stream holds; `followed` raises ClientGone."""
        self._answer.close()
        self._place.close()
        self._heard.set()
        self._job = None  # an error in the answer may refer to this object, and would keep the job alive

    async def followed(self) -> AsyncIterator[Followed]:
        """What is understood, chunk by chunk, and at last the whole transcript.

        Raises:
            ClientGone: it was closed.
            Exception: what `fail` was given, or what the worker reports.
        """
        while (piece := await self._answer.next()) is not None:
            yield piece

    def _check_open(self) -> None:
        # Before Python 3.12 a task that waits with a time limit can miss that it was canceled.
        if self._answer.cancelled:
            raise ClientGone

    def _start(self, sample_rate: int) -> LiveJob:
        model, loop = self._model, asyncio.get_running_loop()

        def on_heard() -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._heard.set)

        rows, metrics = model.limits.max_rows, model.metrics
        return LiveJob(model.recognizer, sample_rate, self._context, self._answer, rows, metrics, on_heard)

    def _submit_or_wake(self, job: LiveJob) -> None:
        if self._job is None:
            self._model.worker.submit(job)
            self._job = job
        else:
            self._model.worker.wake()
