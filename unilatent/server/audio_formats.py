"""Audio as bytes while it is made: WAV, FLAC, Ogg Opus, MP3 and plain samples, each with its metadata in front.

The length is not known at the beginning, so a header that has a place for it says "unknown", as files do that were
written to a pipe. What libsndfile goes back to correct at the end is left as it was.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from latent.audio.growing_wav import pcm_16, wav_header
from s2s.packages import load

Pcm = NDArray[np.int16]

MEDIA_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
_RATES = {
    "opus": (8000, 12000, 16000, 24000, 48000),
    "mp3": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
}
_OPTIONS: dict[str, dict[str, Any]] = {
    "flac": {"format": "FLAC", "subtype": "PCM_16"},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    # a constant rate of bits, since a header without the number of frames lets readers guess the length from it
    "mp3": {
        "format": "MP3",
        "subtype": "MPEG_LAYER_III",
        "bitrate_mode": "CONSTANT",
        "compression_level": 0.5,
    },
}


class Encoder(Protocol):
    """Turns samples into the bytes of a file, piece by piece."""

    def write(self, samples: Pcm) -> bytes:
        """What is ready after more samples, `(S,)`; the first call brings the header too."""

    def close(self) -> bytes:
        """The rest of the file."""


def open_encoder(name: str, sample_rate: int, tags: Mapping[str, str]) -> Encoder:
    """An encoder for one of `MEDIA_TYPES`, for mono samples at `sample_rate`, with tags as `write_audio` takes them."""
    if name in _OPTIONS:
        return _SoundFile(name, sample_rate, tags)
    return _Plain(wav_header(sample_rate, tags) if name == "wav" else b"")


class _Plain:
    """A header, and then samples of 16 bits."""

    def __init__(self, header: bytes) -> None:
        self._header = header

    def write(self, samples: Pcm) -> bytes:
        header, self._header = self._header, b""
        return header + samples.astype("<i2").tobytes()

    def close(self) -> bytes:
        return self.write(np.empty(0, np.int16))


class _SoundFile:
    """What libsndfile encodes, into memory."""

    def __init__(self, name: str, sample_rate: int, tags: Mapping[str, str]) -> None:
        rates = _RATES.get(name, (sample_rate,))
        rate = min((known for known in rates if known >= sample_rate), default=rates[-1])
        self._resampler = None
        if rate != sample_rate:
            self._resampler = load("soxr", "speak").ResampleStream(sample_rate, rate, 1, dtype="float32")
        self._sink = _Sink()
        self._file = load("soundfile", "speak").SoundFile(self._sink, "w", rate, 1, **_OPTIONS[name])
        for field, value in tags.items():
            setattr(self._file, field, value)

    def write(self, samples: Pcm, last: bool = False) -> bytes:
        if self._resampler is not None:
            scaled = samples.astype(np.float32) / 32768  # as numbers of 16 bits, soxr would add noise
            samples = pcm_16(self._resampler.resample_chunk(scaled, last=last))
        if len(samples):
            self._file.write(samples)
        return self._sink.take()

    def close(self) -> bytes:
        rest = self.write(np.empty(0, np.int16), last=True)
        self._file.close()
        return rest + self._sink.take()


class _Sink(io.RawIOBase):
    """A file that gives its bytes away; what is written again afterwards is dropped."""

    def __init__(self) -> None:
        self._ready = bytearray()
        self._taken = self._position = 0

    def take(self) -> bytes:
        """The bytes since the last call."""
        ready = bytes(self._ready)
        self._ready.clear()
        self._taken += len(ready)
        return ready

    def write(self, content: Any) -> int:
        begin = self._position - self._taken
        end = begin + len(content)
        kept = bytes(content)[max(0, -begin) :] if end > 0 else b""
        self._ready[max(0, begin) : max(0, end)] = kept
        self._position += len(content)
        return len(content)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        starts = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._taken + len(self._ready)}
        self._position = starts[whence] + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True
