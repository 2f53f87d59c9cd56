"""Audio that is still arriving, through a pipe or in a file that grows: WAV, or samples without a header."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from latent.audio.files import Samples
from latent.audio.g711 import Law, expanded
from s2s.errors import InputError

_POLL_SECONDS = 0.05
_PIECE_SECONDS = 0.1
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_LAWS: dict[int, Law] = {6: "a", 7: "mu"}
_HEADER_PIECE = 64
_LONGEST_HEADER = 1 << 20


@dataclass(frozen=True)
class SampleFormat:
    """How samples are written: little-endian integers of 16, 24 or 32 bits, floating-point numbers of 32, or G.711.

    Args:
        sample_rate: In Hz.
        channels: Interleaved.
        bits: Of each sample.
        is_float: Whether they are floating-point numbers.
        law: Of G.711, with 8 bits.
    """

    sample_rate: int
    channels: int = 1
    bits: int = 16
    is_float: bool = False
    law: Law | None = None

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return self.channels * self.bits // 8

    @property
    def bytes_per_second(self) -> int:
        """Bytes of a second of audio."""
        return self.frame_bytes * self.sample_rate

    def decode(self, content: bytes) -> Samples:
        """Whole frames as samples `(L,)`, channels averaged."""
        values: NDArray[Any]
        if self.law is not None:
            values = expanded(content, self.law)
        elif self.is_float:
            values = np.frombuffer(content, "<f4")
        elif self.bits == 24:
            wide = np.zeros((len(content) // 3, 4), np.uint8)
            wide[:, 1:] = np.frombuffer(content, np.uint8).reshape(-1, 3)
            values = wide.view("<i4").ravel().astype(np.float32) / 2**31
        else:
            values = np.frombuffer(content, f"<i{self.bits // 8}").astype(np.float32) / 2 ** (self.bits - 1)
        samples: Samples = values.reshape(-1, self.channels).mean(axis=1, dtype=np.float32)
        return samples


class SampleBytes:
    """Samples from bytes that come in pieces of any size: WAV, or samples without a header.

    Lengths in a WAV header are not believed, since its writer may not have known them.

    Args:
        name: For messages.
        format: Of samples without a header; None for WAV, which brings it.
        advice: For the message about bytes that are no WAV.
    """

    def __init__(self, name: str, format: SampleFormat | None, advice: str) -> None:
        self._name, self._advice = name, advice
        self.format = format
        """None until the header of a WAV is whole."""
        self._waiting = b""

    def push(self, content: bytes) -> Samples:
        """The samples `(L,)` that are whole after the next bytes, channels averaged.

        Raises:
            InputError: it is no WAV, or one of a kind that cannot be read while it arrives; a sample is not finite.
        """
        self._waiting += content
        if self.format is None:
            self._read_header()
        if self.format is None:
            return np.empty(0, np.float32)
        whole = len(self._waiting) - len(self._waiting) % self.format.frame_bytes
        samples = self.format.decode(self._waiting[:whole])
        self._waiting = self._waiting[whole:]
        if not np.isfinite(samples).all():
            raise InputError(f"{self._name}: a sample is no finite number; is this really raw audio?")
        return samples

    def close(self) -> None:
        """Nothing follows, and part of a sample is dropped; raises InputError within the header of a WAV."""
        if self.format is None:
            raise InputError(f"{self._name}: ends within the header of a WAV file; {self._advice}")

    def _read_header(self) -> None:
        """Find the format and drop all before the first sample, once that much is there."""
        given = self._waiting
        if len(given) >= 12 and (given[:4] != b"RIFF" or given[8:12] != b"WAVE"):
            raise InputError(f"{self._name}: must be a WAV stream, found {given[:4]!r}; {self._advice}")
        place, format = 12, None
        while len(given) >= place + 8:
            kind, size = given[place : place + 4], int.from_bytes(given[place + 4 : place + 8], "little")
            if kind == b"data":
                if format is None:
                    raise InputError(f"{self._name}: a WAV stream without a 'fmt ' chunk before its samples")
                self.format, self._waiting = format, given[place + 8 :]
                return
            place += 8
            if kind == b"fmt " and len(given) >= place + size:
                format = self._format(given[place : place + size])
            place += size + size % 2
            if place > _LONGEST_HEADER:
                raise InputError(f"{self._name}: a WAV header of more than {_LONGEST_HEADER:,} bytes; {self._advice}")

    def _format(self, content: bytes) -> SampleFormat:
        kind, channels, rate, bits = (
            int.from_bytes(content[place : place + size], "little") for place, size in ((0, 2), (2, 2), (4, 4), (14, 2))
        )
        if kind == _EXTENSIBLE:
            kind = int.from_bytes(content[24:26], "little")
        law = _LAWS.get(kind)
        known = (
            bits in (16, 24, 32) if kind == _PCM else bits == 32 if kind == _FLOAT else law is not None and bits == 8
        )
        if not known or not 1 <= channels <= 8 or not 1000 <= rate <= 1_000_000:
            found = f"format {kind}, {bits} bits, {channels} channels, {rate} Hz"
            raise InputError(f"{self._name}: must be PCM of 16, 24 or 32 bits, floats of 32 or G.711, found {found}")
        return SampleFormat(rate, channels, bits, kind == _FLOAT, law)


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
        self._file, self._patience = file, patience
        self._bytes = SampleBytes(name, format, "give --rate for raw samples")
        self._first = np.empty(0, np.float32)
        while self._bytes.format is None:
            content = self._read(_HEADER_PIECE)
            if not content:
                self._bytes.close()
            self._first = self._bytes.push(content)
        self.format = self._bytes.format

    def __iter__(self) -> Iterator[Samples]:
        first, self._first = self._first, np.empty(0, np.float32)
        if len(first):
            yield first
        most = max(1, round(_PIECE_SECONDS * self.format.sample_rate)) * self.format.frame_bytes
        while content := self._read(most):
            samples = self._bytes.push(content)
            if len(samples):
                yield samples

    def _read(self, most: int) -> bytes:
        """The next bytes, at least one, or none at the end."""
        until = time.monotonic() + (self._patience or 0.0)
        while not (content := self._file.read(most)):
            if self._patience is None or time.monotonic() > until:
                return b""
            time.sleep(_POLL_SECONDS)
        return content
