"""How far decoding is, and how fast: a bar on a terminal, else a line now and then."""

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


class Meter:
    """Counts sentences; says how many there were in a second, and when the rest will be done.

    Args:
        total: Sentences there are to decode, or None if nobody knows.
        enabled: Whether to say anything.
    """

    def __init__(self, total: int | None, enabled: bool) -> None:
        self._total = total
        self._enabled = enabled
        self._bar: tqdm[Any] | None = None
        if enabled and sys.stderr.isatty():
            self._bar = tqdm(total=total, unit=" sentences", dynamic_ncols=True, smoothing=0.05)
        self._done = 0
        self._begun = self._said = time.monotonic()

    def __enter__(self) -> Meter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elif kind is None:
            self._say()

    def advance(self, sentences: int) -> None:
        """Count some more."""
        self._done += sentences
        if self._bar is not None:
            self._bar.update(sentences)
        elif time.monotonic() - self._said > SECONDS_BETWEEN_LINES:
            self._say()

    def _say(self) -> None:
        self._said = time.monotonic()
        if not self._enabled or not self._done:
            return
        rate = self._done / max(self._said - self._begun, 1e-9)
        if self._total is None:
            logger.info("decoded %d sentences  %.1f sentences/s", self._done, rate)
        else:
            left = duration(max(0, self._total - self._done) / rate)
            logger.info("decoded %d/%d sentences  %.1f sentences/s  ETA %s", self._done, self._total, rate, left)
