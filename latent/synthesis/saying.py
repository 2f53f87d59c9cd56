"""A text while it is said: its samples as they are made, and what is known of it afterwards."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from latent.audio.files import Samples
from latent.data.speech_prompts import SpeechRequest
from latent.decoding.audio import AudioChunk
from latent.text.arriving import ArrivingText

logger = logging.getLogger(__name__)

PART_PAUSE = 0.4
"""Seconds of silence between the parts of a text that is too long for one sequence, as between lines of a script."""


class Utterance(NamedTuple):
    """What is generated in one go: a request, and its audio as row 0 of chunks."""

    request: SpeechRequest
    chunks: Iterator[AudioChunk]


class Saying:
    """The samples of a text, while they are made; iterate once.

    Args:
        utterances: Its parts, one after the other; each may wait for its text.
        sample_rate: In Hz.
        seed: Of its noise, for the metadata.
        expected_seconds: About how long it will be; None if the text is not known yet.
        text: The text, if it is still being written.
    """

    def __init__(
        self,
        utterances: Iterable[Utterance],
        sample_rate: int,
        seed: int,
        expected_seconds: float | None = None,
        text: ArrivingText | None = None,
    ) -> None:
        self.seed, self.expected_seconds = seed, expected_seconds
        self.requests: list[SpeechRequest] = []
        """The parts that have begun."""
        self.parts: list[tuple[SpeechRequest, float, float]] = []
        """The parts that are over, and from when to when they are heard, in seconds."""
        self.ended = True
        """False if a part did not end by itself, and was truncated."""
        self.first_audio: float | None = None
        """Seconds from the beginning of the text to the first samples; None before."""
        self.seconds = 0.0
        """Seconds of audio so far."""
        self._utterances, self._rate, self._text = utterances, sample_rate, text
        self._begun = self._now = time.monotonic()

    @property
    def work_seconds(self) -> float:
        """Seconds of work so far, without those spent waiting for the text."""
        return self._now - self._begun - (0.0 if self._text is None else self._text.waited)

    def __iter__(self) -> Iterator[Samples]:
        self._begun = time.monotonic()
        for number, utterance in enumerate(self._utterances):
            self.requests.append(utterance.request)
            if number:
                yield self._made(np.zeros(round(PART_PAUSE * self._rate), np.float32))
            begun = self.seconds
            for chunk in utterance.chunks:
                for samples in chunk.audio:
                    yield self._made(samples.float().cpu().numpy())
                if not chunk.ended.get(0, True):
                    self.ended = False
                    warn_of_truncation(utterance.request, self.seconds - begun)
            self.parts.append((utterance.request, begun, self.seconds))
        self._now = time.monotonic()

    def _made(self, samples: Samples) -> Samples:
        self._now = time.monotonic()
        if self.first_audio is None:
            written = None if self._text is None else self._text.begun
            self.first_audio = self._now - (self._begun if written is None else written)
        self.seconds += len(samples) / self._rate
        return samples


def warn_of_truncation(request: SpeechRequest, seconds: float) -> None:
    """Warn that speech did not end naturally, and was cut after so many seconds."""
    shown = request.text if len(request.text) <= 60 else f"{request.text[:57]}..."
    logger.warning(f"{request.id}: did not end naturally and was truncated after {seconds:.1f} s: {shown!r}")
