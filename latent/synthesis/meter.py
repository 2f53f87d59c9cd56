"""How far work on audio is: a bar on a terminal, else a line now and then, with real-time factor and time left."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import Any

from tqdm import tqdm

from s2s.training.logging import duration

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 30


class SpeechMeter:
    """Counts seconds of audio; tells how long one takes to make (the real-time factor), and when the rest is done.

    Args:
        expected_seconds: Audio there will be, about.
        enabled: Whether to say anything.
        did: What is done with the audio, for messages.
    """

    def __init__(self, expected_seconds: float, enabled: bool, did: str = "synthesized") -> None:
        self.seconds = 0.0
        self._expected, self._enabled, self._did = expected_seconds, enabled, did
        self._bar: tqdm[Any] | None = None
        if enabled and sys.stderr.isatty():
            layout = "{percentage:3.0f}%|{bar}| {desc}"
            self._bar = tqdm(total=max(expected_seconds, 1e-9), bar_format=layout, dynamic_ncols=True)
        self._begun = self._said = time.monotonic()

    def __enter__(self) -> SpeechMeter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    @property
    def real_time_factor(self) -> float:
        """Seconds of work for a second of audio so far."""
        return (time.monotonic() - self._begun) / max(self.seconds, 1e-9)

    def advance(self, seconds: float) -> None:
        """Count some more audio."""
        self.seconds += seconds
        if self._bar is not None:
            self._bar.total = max(self._expected, self.seconds)
            self._bar.set_description_str(self._state(), refresh=False)
            self._bar.update(self.seconds - self._bar.n)
        elif self._enabled and time.monotonic() - self._said > SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            logger.info("%s %s", self._did, self._state())

    def correct(self, seconds: float) -> None:
        """Expect so much more audio (or less) than was said, since something came out longer (or shorter)."""
        self._expected += seconds

    def _state(self) -> str:
        factor = self.real_time_factor
        left = duration(max(0.0, self._expected - self.seconds) * factor)
        return f"{duration(self.seconds)}/{duration(self._expected)}  real-time factor {factor:.2f}  ETA {left}"
