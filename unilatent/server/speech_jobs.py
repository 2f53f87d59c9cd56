"""Spoken answers as jobs of a worker: takes that are spoken one after the other, with the silence between them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latent.audio.files import Samples, checked
from latent.audio.growing_wav import pcm_16
from latent.longform.narrator import Narrator, Tail
from latent.synthesis.saying import warn_of_truncation
from latent.synthesis.session import SpeechSession, SpokenChunk
from latent.synthesis.takes import Take
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
        narrator: Speaks with the voice; remembers how each speaker sounded.
        takes: At least one.
        answer: Where the samples go.
        max_rows: Maximum rows of a session that this job opens.
        metrics: Figures of the model.
    """

    def __init__(
        self, narrator: Narrator, takes: Sequence[Take], answer: Answer, max_rows: int, metrics: ModelMetrics
    ) -> None:
        super().__init__("speech", answer)
        self._narrator, self._takes, self._max_rows, self._metrics = narrator, takes, max_rows, metrics
        self._rate = narrator.voice.sample_rate
        self._index = self._said = self._skip = self._total = 0
        self._tail: Tail | None = None
        self._started: float | None = None

    def open_session(self) -> SpeechSession:
        return self._narrator.voice.session(self._max_rows)

    def has_next(self) -> bool:
        return self._tail is None and not (self.finished() or self.answer.is_full)

    def has_room(self, session: SpeechSession) -> bool:
        return session.has_room(self._narrator.begin(self._takes[self._index])[0])

    def join(self, session: SpeechSession) -> int:
        self._started = self._started or time.monotonic()
        request, tail = self._narrator.begin(self._takes[self._index])
        key = session.add(request)
        self._tail = tail
        return key

    def receive(self, item: SpokenChunk) -> bool:
        take, tail = self._takes[self._index], self._tail
        assert tail is not None
        if len(item.samples):
            self._put(checked(item.samples, take.request.id))
        if item.frames is not None:
            tail.add(item.frames)
        if item.ended is None:
            return False
        if item.ended is False:
            tail.cut = True
            warn_of_truncation(take.request, take.request.max_frames / self._narrator.voice.frame_rate)
        self._narrator.end(take, tail)
        self._put_silence(round(take.pause * self._rate))
        self._index += 1
        self._tail, self._said, self._skip = None, 0, 0
        if self.finished():
            self._metrics.worked(self._total / self._rate, time.monotonic() - (self._started or 0))
        return True

    def finished(self) -> bool:
        return self._index == len(self._takes)

    def begin_again(self) -> None:
        self._tail, self._skip, self._said = None, max(self._skip, self._said), 0

    def _put(self, samples: Samples) -> None:
        """Hand on what was not handed on before the take began again."""
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
