"""A recording to listen to, from a file or from memory, piece by piece: an hour is never in memory at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from latent.audio.files import Samples, Source, audio_info, checked, mono_blocks
from latent.audio.resampling import StreamResampler


@dataclass(frozen=True)
class Recording:
    """Where the samples of a recording are.

    Args:
        source: A file, or samples `(L,)` at `sample_rate`, or `(L, channels)`, which are averaged.
        sample_rate: Of samples in memory, in Hz; a file knows its own.
    """

    source: Source | Samples
    sample_rate: int = 0

    def __str__(self) -> str:
        return str(self.source) if isinstance(self.source, str | Path) else "recording"

    @property
    def seconds(self) -> float:
        """Its length, as the header of the file has it; raises InputError if it cannot be read."""
        if isinstance(self.source, np.ndarray):
            return len(self.source) / self.sample_rate
        return audio_info(self.source).seconds

    def blocks(self, sample_rate: int, size: int) -> Iterator[Samples]:
        """The samples at another rate, channels averaged, `size` at a time; the last block may be shorter.

        Raises:
            InputError: not readable, empty, or samples that are not finite.
        """
        waiting, resampler = np.empty(0, np.float32), None
        for samples, rate in self._pieces():
            resampler = resampler or StreamResampler(rate, sample_rate)
            waiting = np.concatenate([waiting, resampler.push(samples)])
            whole = len(waiting) - len(waiting) % size
            yield from (waiting[start : start + size] for start in range(0, whole, size))
            waiting = waiting[whole:]
        rest = np.empty(0, np.float32) if resampler is None else resampler.push(np.empty(0, np.float32), last=True)
        waiting = np.concatenate([waiting, rest])
        yield from (waiting[start : start + size] for start in range(0, len(waiting), size))

    def stretches(self, sample_rate: int, spans: Sequence[tuple[float, float]]) -> Iterator[Samples]:
        """The samples of some spans at another rate, read once; no more of them than a span has is in memory.

        Args:
            sample_rate: In Hz.
            spans: Their starts and ends in seconds, in the order of their starts.

        Raises:
            InputError: see `blocks`.
        """
        blocks, held, first = self.blocks(sample_rate, 10 * sample_rate), np.empty(0, np.float32), 0
        for start, end in spans:
            begin, over = round(start * sample_rate), round(end * sample_rate)
            while first + len(held) < over and (block := next(blocks, None)) is not None:
                held = np.concatenate([held, block])
                passed = min(len(held), max(0, begin - first))
                held, first = held[passed:], first + passed
            held, first = held[max(0, begin - first) :], max(first, begin)
            yield held[: over - begin]

    def _pieces(self) -> Iterator[tuple[Samples, int]]:
        if not isinstance(self.source, np.ndarray):
            yield from mono_blocks(self.source)
            return
        samples = self.source.astype(np.float32, copy=False)
        mono = samples.mean(axis=1) if samples.ndim == 2 else samples
        checked(mono, self)
        for start in range(0, len(mono), 10 * self.sample_rate):
            yield mono[start : start + 10 * self.sample_rate], self.sample_rate
