"""Spoken answers as jobs of a worker: takes that are spoken one after the other, with the silence between them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latent.audio.files import checked
from latent.audio.growing_wav import pcm_16
from latent.synthesis.voice import Take, Voice, warn_of_truncation
from unilatent.server.answers import Answer
from unilatent.server.metrics import ModelMetrics
from unilatent.server.worker import Job

_BLOCK = 1 << 14  # samples of silence at a time


@dataclass(frozen=True)
class Silence:
    """A piece of an answer: a number of silent samples, which takes no memory while it waits."""

    count: int

    def blocks(self) -> Iterator[NDArray[np.int16]]:
        """The samples, `(S,)` each."""
        for start in range(0, self.count, _BLOCK):
            yield np.zeros(min(_BLOCK, self.count - start), np.int16)


class SpeechJob(Job):
    """Speaks takes in order; the pieces of its answer are samples of 16 bits, `(S,)`, and `Silence`.

    Args:
        voice: Who speaks.
        takes: At least one.
        answer: Where the samples go.
        max_rows: Of a session that this job opens.
        metrics: Of the model.
    """

    def __init__(
        self, voice: Voice, takes: Sequence[Take], answer: Answer, max_rows: int, metrics: ModelMetrics
    ) -> None:
        super().__init__("speech", answer)
        self._voice, self._takes, self._max_rows, self._metrics = voice, takes, max_rows, metrics
        self._index = self._said = self._skip = self._total = 0
        self._joined = False
        self._started: float | None = None

    def open_session(self) -> Any:
        from unilatent.server.stand_in import SpeechStandIn

        return SpeechStandIn(self._voice)

    def has_next(self) -> bool:
        return not (self._joined or self.finished() or self.answer.is_full)

    def has_room(self, session: Any) -> bool:
        return bool(session.has_room(self._takes[self._index].request))

    def join(self, session: Any) -> int:
        self._started = self._started or time.monotonic()
        key = int(session.add(self._takes[self._index].request))
        self._joined = True
        return key

    def receive(self, item: Any) -> bool:
        take = self._takes[self._index]
        if len(item.samples):
            checked(item.samples, take.request.id)
            self._put(item.samples)
        if item.ended is None:
            return False
        if item.ended is False:
            warn_of_truncation(take.request, self._voice.frame_rate)
        self._put_silence(round(take.pause * self._voice.sample_rate))
        self._index += 1
        self._joined, self._said, self._skip = False, 0, 0
        if self.finished():
            self._metrics.spoken(self._total / self._voice.sample_rate, time.monotonic() - (self._started or 0))
        return True

    def finished(self) -> bool:
        return self._index == len(self._takes)

    def begin_again(self) -> None:
        self._joined, self._skip, self._said = False, self._said, 0

    def _put(self, samples: Any) -> None:
        """Hand on what was not handed on before a take began again."""
        new = samples[max(0, self._skip - self._said) :]
        self._said += len(samples)
        if len(new):
            if not self._total:
                self._metrics.first_audio(time.monotonic() - self.begun)
            self._total += len(new)
            pcm = pcm_16(new)
            self.answer.put(pcm, pcm.nbytes)

    def _put_silence(self, count: int) -> None:
        if count:
            self._total += count
            self.answer.put(Silence(count), 2 * count)
