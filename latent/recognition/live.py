"""The transcript of audio that is still arriving, chunk by chunk."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from latent.audio.files import Samples
from latent.audio.recording import Recording
from latent.audio.resampling import StreamResampler
from latent.recognition.transcript import Transcript

_BLOCK_SECONDS = 30.0


@dataclass(frozen=True)
class LiveChunk:
    """What was understood of a stretch of audio.

    Args:
        start: Of the stretch, in seconds.
        end: As `start`.
        text: As the model wrote it, with marks of speakers and white space: all texts joined are the transcript.
        turns: The same by speaker: pairs of a speaker, "?" if unknown, and what was said.
        warnings: What a reader should know.
        work_seconds: Time from the last sample that this text needs to the text.
    """

    start: float
    end: float
    text: str
    turns: Sequence[tuple[str, str]]
    warnings: Sequence[str]
    work_seconds: float


class LiveTranscript(ABC):
    """Audio goes in, in pieces of any size, and chunks of text come out; the pieces do not change the text.

    live = recognizer.follow(sample_rate=16000)
    for samples in microphone:
        for chunk in live.push(samples):
            print(chunk.text, end="")
    for chunk in live.close():
        print(chunk.text, end="")
    """

    def __init__(self, sample_rate: int, model_rate: int) -> None:
        self._resampler = StreamResampler(sample_rate, model_rate)
        self._given, self._sample_rate = 0, sample_rate

    @property
    def seconds(self) -> float:
        """Seconds of audio so far."""
        return self._given / self._sample_rate

    def push(self, samples: Samples) -> Iterator[LiveChunk]:
        """The chunks that are complete after the next samples `(L,)`."""
        self._given += len(samples)
        yield from self._timed(self._hear(self._resampler.push(samples)))

    def close(self) -> Iterator[LiveChunk]:
        """The last chunks, when no more audio comes."""
        if self._given:
            yield from self._timed(self._hear(self._resampler.push(np.empty(0, np.float32), last=True)))
            yield from self._timed(self._end())

    @abstractmethod
    def transcript(self) -> Transcript:
        """All that was understood so far, as segments with times."""

    @abstractmethod
    def _hear(self, samples: Samples) -> Iterator[LiveChunk]:
        """The chunks that are complete after more samples at the rate of the model."""

    @abstractmethod
    def _end(self) -> Iterator[LiveChunk]:
        """The chunks that are left."""

    def _timed(self, chunks: Iterator[LiveChunk]) -> Iterator[LiveChunk]:
        begun = time.monotonic()
        for chunk in chunks:
            yield LiveChunk(**{**vars(chunk), "work_seconds": time.monotonic() - begun})
            begun = time.monotonic()


def followed(live: LiveTranscript, recording: Recording, sample_rate: int) -> Iterator[LiveChunk]:
    """The chunks of a whole recording, read at the rate of `live`; raises InputError if it cannot be read."""
    for samples in recording.blocks(sample_rate, int(_BLOCK_SECONDS * sample_rate)):
        yield from live.push(samples)
    yield from live.close()
