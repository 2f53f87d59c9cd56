"""Stopping a run from outside: the first SIGTERM or SIGINT asks, the second one forces."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class StopRequest:
    """Whether a signal asked this process to stop, and which."""

    def __init__(self) -> None:
        self.signal = 0
        """The number of the signal; 0 if there was none."""

    @classmethod
    @contextlib.contextmanager
    def listen(cls) -> Iterator[StopRequest]:
        """A block that notes the first SIGTERM or SIGINT; a second one does what it did before the block."""
        request = cls()
        if threading.current_thread() is not threading.main_thread():  # only the main thread receives signals
            yield request
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

        def note(number: int, frame: FrameType | None) -> None:
            request.signal = number
            for known, handler in before.items():
                signal.signal(known, handler)

        for number in before:
            signal.signal(number, note)
        try:
            yield request
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
