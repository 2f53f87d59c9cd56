"""Progress of a job: a bar on a terminal, otherwise a line now and then; durations and large numbers as text."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from tqdm import tqdm

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 30

State = Callable[[float, float | None, float], str]
"""Describes progress, given the amount done, the total (None if unknown) and the seconds so far."""


def counted(unit: str) -> State:
    """Describes progress in a unit: `12/40 sentences  3.4 sentences/s  ETA 0:08`."""

    def state(done: float, total: float | None, seconds: float) -> str:
        rate = done / max(seconds, 1e-9)
        text = f"{done:.0f}{'' if total is None else f'/{total:.0f}'} {unit}  {rate:.1f} {unit}/s"
        return text if total is None or not done else f"{text}  ETA {duration(max(0.0, total - done) / rate)}"

    return state


sentences = counted("sentences")
pictures = counted("pictures")


def audio(done: float, total: float | None, seconds: float) -> str:
    """`1:20/3:00  real-time factor 0.50  ETA 0:50`; done and total are seconds of audio."""
    factor = seconds / max(done, 1e-9)
    total = max(done, total or 0.0)
    return f"{duration(done)}/{duration(total)}  real-time factor {factor:.2f}  ETA {duration((total - done) * factor)}"


class Meter(AbstractContextManager["Meter"]):
    """Counts the work done of a `total` (an estimate, or None if unknown), and reports the rate and the time left.

    A line starts with `did`, a verb such as "decoded"; `state` is `sentences`, `pictures` or `audio`.
    """

    def __init__(self, total: float | None, enabled: bool, did: str, state: State) -> None:
        self.done = 0.0
        self._total, self._enabled, self._did, self._state = total, enabled, did, state
        self._bar: tqdm[Any] | None = None
        if enabled and sys.stderr.isatty():
            layout = "{desc}" if total is None else "{percentage:3.0f}%|{bar}| {desc}"
            self._bar = tqdm(total=None if total is None else max(total, 1e-9), bar_format=layout, dynamic_ncols=True)
        self._begun = self._reported = time.monotonic()

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    @property
    def seconds_per_unit(self) -> float:
        """Seconds of work per unit so far; for audio, the real-time factor."""
        return (time.monotonic() - self._begun) / max(self.done, 1e-9)

    def advance(self, amount: float) -> None:
        """Count more work as done."""
        self.done += amount
        if self._bar is not None:
            self._bar.total = None if self._total is None else max(self._total, self.done)
            self._bar.set_description_str(self._text(), refresh=False)
            self._bar.update(self.done - self._bar.n)
        elif time.monotonic() - self._reported > SECONDS_BETWEEN_LINES:
            self.report()

    def correct(self, amount: float) -> None:
        """Correct the estimate of the total by an amount, which may be negative."""
        if self._total is not None:
            self._total += amount

    def report(self) -> None:
        """Print a line now."""
        self._reported = time.monotonic()
        if self._enabled:
            logger.info("%s %s", self._did, self._text())

    def _text(self) -> str:
        return self._state(self.done, self._total, time.monotonic() - self._begun)


def duration(seconds: float) -> str:
    """Seconds as `3:20` or `1:03:20`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def magnitude(count: float) -> str:
    """A large number as `530`, `12.3 k`, `22.7 M` or `1.5 G`."""
    for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.1f} {prefix}"
    return f"{count:.0f}"
