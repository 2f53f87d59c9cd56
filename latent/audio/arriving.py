"""Audio that is still arriving, through a pipe or in a file that grows: WAV, or samples without a header."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from latent.audio.files import Samples
from s2s.errors import InputError

_POLL_SECONDS = 0.05
_PIECE_SECONDS = 0.1
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE


@dataclass(frozen=True)
class SampleFormat:
    """How samples are written: little-endian integers of 16, 24 or 32 bits, or floating-point numbers of 32.

    Args:
        sample_rate: In Hz.
        channels: Interleaved.
        bits: Of each sample.
        is_float: Whether they are floating-point numbers.
    """

    sample_rate: int
    channels: int = 1
    bits: int = 16
    is_float: bool = False

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return self.channels * self.bits // 8

    def decode(self, content: bytes) -> Samples:
        """Whole frames as samples `(L,)`, channels averaged."""
        if self.is_float:
            values = np.frombuffer(content, "<f4")
        elif self.bits == 24:
            wide = np.zeros((len(content) // 3, 4), np.uint8)
            wide[:, 1:] = np.frombuffer(content, np.uint8).reshape(-1, 3)
            values = wide.view("<i4").ravel().astype(np.float32) / 2**31
        else:
            values = np.frombuffer(content, f"<i{self.bits // 8}").astype(np.float32) / 2 ** (self.bits - 1)
        samples: Samples = values.reshape(-1, self.channels).mean(axis=1, dtype=np.float32)
        return samples


class ArrivingAudio:
    """Samples from a stream of bytes, as they come.

    Args:
        file: Read without waiting for more than is there, as `open(..., buffering=0)` does.
        name: For messages.
        format: Of samples without a header; None for a WAV file, which brings it.
        patience: Seconds without more after which a file that may grow has ended; None: its end is the end.

    Raises:
        InputError: it is no WAV file, or one of a kind that cannot be read while it arrives.
    """

    def __init__(self, file: BinaryIO, name: str, format: SampleFormat | None = None, patience: float | None = None):
        self._file, self._name, self._patience = file, name, patience
        self._waiting = b""
        self.format = format or self._header()

    def __iter__(self) -> Iterator[Samples]:
        size = self.format.frame_bytes
        most = max(1, round(_PIECE_SECONDS * self.format.sample_rate)) * size
        while content := self._waiting or self._read(most):
            whole = len(content) - len(content) % size
            self._waiting = b""
            if whole:
                samples = self.format.decode(content[:whole])
                if not np.isfinite(samples).all():
                    raise InputError(f"{self._name}: a sample is no finite number; is this really raw audio?")
                yield samples
            rest = content[whole:]
            if rest:
                more = self._read(size - len(rest))
                if not more:
                    return  # part of a sample, at the end
                self._waiting = rest + more

    def _read(self, most: int) -> bytes:
        """The next bytes, at least one, or none at the end."""
        until = time.monotonic() + (self._patience or 0.0)
        while not (content := self._file.read(most)):
            if self._patience is None or time.monotonic() > until:
                return b""
            time.sleep(_POLL_SECONDS)
        return content

    def _exactly(self, count: int) -> bytes:
        content = b""
        while len(content) < count and (more := self._read(count - len(content))):
            content += more
        if len(content) < count:
            raise InputError(f"{self._name}: ends within the header of a WAV file; give --rate for raw samples")
        return content

    def _header(self) -> SampleFormat:
        """Read a WAV header up to the first sample; its lengths are not believed, since the file still grows."""
        start = self._exactly(12)
        if start[:4] != b"RIFF" or start[8:] != b"WAVE":
            found = start[:4]
            raise InputError(f"{self._name}: must be a WAV stream, found {found!r}; give --rate for raw samples")
        found_format = None
        while True:
            chunk = self._exactly(8)
            if chunk[:4] == b"data":
                break
            content = self._exactly((size := int.from_bytes(chunk[4:], "little")) + size % 2)
            if chunk[:4] == b"fmt ":
                found_format = self._format(content)
        if found_format is None:
            raise InputError(f"{self._name}: a WAV stream without a 'fmt ' chunk before its samples")
        return found_format

    def _format(self, content: bytes) -> SampleFormat:
        kind, channels, rate, bits = (
            int.from_bytes(content[place : place + size], "little") for place, size in ((0, 2), (2, 2), (4, 4), (14, 2))
        )
        if kind == _EXTENSIBLE:
            kind = int.from_bytes(content[24:26], "little")
        known = (kind == _PCM and bits in (16, 24, 32)) or (kind == _FLOAT and bits == 32)
        if not known or not 1 <= channels <= 8 or not 1000 <= rate <= 1_000_000:
            found = f"format {kind}, {bits} bits, {channels} channels, {rate} Hz"
            raise InputError(f"{self._name}: must be PCM of 16, 24 or 32 bits or floats of 32, found {found}")
        return SampleFormat(rate, channels, bits, kind == _FLOAT)
