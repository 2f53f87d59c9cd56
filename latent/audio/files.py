"""Reading and writing audio files with soundfile: WAV, FLAC, Ogg (Opus, Vorbis), and MP3 for reading.

A file that is shorter than its header says is refused as cut off. A WAV or FLAC file that was written to a pipe has no
length in its header; it is read to its end.
"""

from __future__ import annotations

import io
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from latent.audio.growing_wav import GrowingWav
from latent.audio.resampling import resample
from s2s.errors import InputError
from s2s.packages import load

Samples = NDArray[np.float32]

FORMATS = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG"}
_OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
_BLOCK = 1 << 16  # samples that are copied at a time
_RATES = (1000, 1_000_000)
_MAX_CHANNELS = 8
_UNKNOWN_FRAMES = (1 << 63) - 1  # from libsndfile, where a FLAC header gives no length
_TOLERANCE = 0.05  # seconds: an MP3 header may count one frame too many
_UNKNOWN_BYTES = 0x7FFF0000  # programs that do not know the length write this or more
# libsndfile's log, where the header gives another length than the file has.
_LENGTHS = re.compile(r"(?:data|SSND|Data Size|riff) *: (\d+) \(should be (\d+)\)")


class AudioBytes(io.BytesIO):
    """The content of a whole audio file in memory, so that it cannot change between two reads; `path` names it."""

    def __init__(self, path: object, content: bytes) -> None:
        super().__init__(content)
        self._path = path

    def __str__(self) -> str:
        return str(self._path)


Source = str | Path | AudioBytes
"""Where audio is read from."""


class AudioInfo(NamedTuple):
    """Sample rate in Hz, number of channels, and length in samples of one channel."""

    sample_rate: int
    channels: int
    num_samples: int

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.sample_rate


def audio_info(path: Source) -> AudioInfo:
    """Sample rate, channels and length of a file, decoded only where its header gives no length.

    Raises:
        InputError: the file is missing, cut off, or not audio that soundfile reads.
    """
    with _opened(path) as file:
        frames = file.frames if file.frames < _UNKNOWN_FRAMES else len(_read(file, path, math.inf))
        return AudioInfo(file.samplerate, file.channels, frames)


def audio_blocks(path: str | Path, size: int) -> Iterator[Samples]:
    """A mono file, `size` samples at a time; the last block may be shorter.

    Raises:
        InputError: not readable, more channels, or samples that are not finite.
    """
    with _opened(path) as file:
        if file.channels != 1:
            raise InputError(f"{path}: must be mono, found {file.channels} channels")
        while len(block := file.read(size, dtype="float32")):
            yield checked(block, path)


def load_audio(path: Source, sample_rate: int, start: float = 0.0, stop: float | None = None) -> Samples:
    """A file, or its seconds [start, stop), resampled to `sample_rate` in Hz, channels averaged, `(L,)`.

    Raises:
        InputError: not readable, empty, or samples that are not finite.
    """
    with _opened(path) as file:
        rate = file.samplerate
        first = min(round(start * rate), file.frames)
        if first:
            file.seek(first)
        samples = _read(file, path, math.inf if stop is None else round(stop * rate) - first).mean(axis=1)
    return resample(checked(samples, path), rate, sample_rate)


def mono_blocks(path: Source, seconds: float = 10.0) -> Iterator[tuple[Samples, int]]:
    """A file piece by piece, channels averaged: samples `(L,)`, and their rate in Hz; errors as for `load_audio`."""
    with _opened(path) as file:
        file._info.seekable = 0  # see `_read`
        promised, found, size = file.frames, 0, max(1, round(seconds * file.samplerate))
        while len(block := file.read(size, dtype="float32", always_2d=True)):
            found += len(block)
            yield checked(block.mean(axis=1), path), file.samplerate
        if not found:
            checked(np.empty(0, np.float32), path)
        _check_length(file, path, promised, found)


def checked(samples: Samples, where: object) -> Samples:
    """The samples, unless there are none or one is not finite: then an InputError names `where`."""
    if not len(samples):
        raise InputError(f"{where}: empty audio, expected at least one sample")
    if not np.isfinite(samples).all():
        first = int(np.flatnonzero(~np.isfinite(samples))[0])
        raise InputError(f"{where}: sample {first} is {samples[first]}, expected finite numbers")
    return samples


def write_audio(path: str | Path, samples: Samples, sample_rate: int, tags: Mapping[str, str] | None = None) -> None:
    """Write samples `(L,)`, clipped to [-1, 1], to a file of 16 bits, which appears complete or not at all.

    Args:
        path: Ends with .wav, .flac or .ogg.
        samples: `(L,)`.
        sample_rate: In Hz.
        tags: Metadata by name (title, artist, comment, software, date, copyright, license).

    Raises:
        InputError: unknown suffix, samples that are empty or not finite, or the file cannot be written.
    """
    with AudioWriter(path, sample_rate, tags) as writer:
        writer.write(samples)


class AudioWriter:
    """Context manager that writes an audio file piece by piece, in constant memory, and can resume after a kill.

    The audio grows in `part`, a hidden WAV file beside `path` that is valid after every `write`. When the block ends
    without an error, the part becomes `path`, encoded if that is not a .wav; after an error or a kill it stays.

    Args:
        path: Ends with .wav, .flac or .ogg.
        sample_rate: In Hz.
        tags: See `write_audio`.
        resume_at: Samples of an earlier part to keep (0: start over).

    Raises:
        InputError: unknown suffix; the disk is full or read-only; the part to resume is missing or too short.
    """

    def __init__(
        self, path: str | Path, sample_rate: int, tags: Mapping[str, str] | None = None, resume_at: int = 0
    ) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() not in FORMATS:
            raise InputError(f"{path}: the suffix must be one of {', '.join(FORMATS)}, found {self.path.suffix!r}")
        self.part = self.path.with_name(f".{self.path.name}.part.wav")
        self.sample_rate, self._tags, self._resume_at = sample_rate, dict(tags or {}), resume_at

    @property
    def num_samples(self) -> int:
        """Samples written so far, with those of a resumed part."""
        return self._wav.num_samples

    def write(self, samples: Samples) -> None:
        """Append samples `(L,)`; they are on disk, behind a valid header, when this returns."""
        self._wav.write(checked(samples, self.path))

    def sync(self) -> None:
        """See `GrowingWav.sync`."""
        self._wav.sync()

    def __enter__(self) -> AudioWriter:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written: {error.strerror}: {self.path.parent}") from error
        if self._resume_at:
            self._wav = GrowingWav.resume(self.part, self.sample_rate, self._resume_at)
        else:
            self._wav = GrowingWav.create(self.part, self.sample_rate, self._tags)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wav.close()
        if kind is not None:
            return
        if not self._wav.num_samples:
            self.part.unlink()
            raise InputError(f"{self.path}: empty audio, expected at least one sample")
        if self.path.suffix.lower() == ".wav":
            os.replace(self.part, self.path)
        else:
            self._encode()
            self.part.unlink()  # not before the file is there: a kill leaves one or the other, or both

    def _encode(self) -> None:
        soundfile = load("soundfile", "speak")
        encoded = self.path.with_name(f".{self.path.name}.encoding")
        try:
            with (
                _opened(self.part) as source,
                soundfile.SoundFile(encoded, "w", self.sample_rate, 1, **self._format()) as target,
            ):
                for name, value in self._tags.items():
                    setattr(target, name, value)
                while len(block := source.read(_BLOCK, dtype="float32")):
                    target.write(block)
        except (OSError, soundfile.SoundFileError, AssertionError) as error:  # soundfile asserts that a write is whole
            encoded.unlink(missing_ok=True)
            raise InputError(f"{self.path}: cannot be written: {error}; the audio is kept in {self.part}") from error
        os.replace(encoded, self.path)

    def _format(self) -> dict[str, str]:
        kind = FORMATS[self.path.suffix.lower()]
        if kind == "OGG":
            return {"format": kind, "subtype": "OPUS" if self.sample_rate in _OPUS_RATES else "VORBIS"}
        return {"format": kind, "subtype": "PCM_16"}


@contextmanager
def _opened(path: Source) -> Iterator[Any]:
    soundfile = load("soundfile", "speak")
    if isinstance(path, AudioBytes):
        path.seek(0)
    elif not Path(path).is_file() or Path(path).suffix.lower() == ".raw":  # soundfile asks for the format of .raw
        raise InputError(f"{path}: no such audio file")
    try:
        with soundfile.SoundFile(path) as file:
            _check_header(file, path)
            content = None if file.frames else _of_unknown_length(path)
            if content is None:
                yield file
                return
        with soundfile.SoundFile(content) as file:
            yield file
    except soundfile.LibsndfileError as error:
        raise InputError(f"{path}: cannot be read as audio: {error.error_string}") from error


def _check_header(file: Any, path: Source) -> None:
    low, high = _RATES
    if not low <= file.samplerate <= high:
        raise InputError(f"{path}: the sample rate must be {low} to {high} Hz, found {file.samplerate} Hz")
    if file.channels > _MAX_CHANNELS:
        raise InputError(f"{path}: must have 1 to {_MAX_CHANNELS} channels, found {file.channels}")
    for promised, found in _LENGTHS.findall(file.extra_info):
        if int(found) < int(promised) < _UNKNOWN_BYTES:
            raise InputError(f"{path}: is cut off: its header promises {promised} bytes of audio, it holds {found}")
    if file.format == "OGG" and not _has_last_page(path):
        raise InputError(f"{path}: is cut off: the last page of the Ogg stream is missing")


def _has_last_page(path: Source) -> bool:
    with _bytes_of(path) as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - (1 << 16)))  # a page has less than 64 KiB
        pages = file.read()
    page = pages[pages.rfind(b"OggS") :]
    if len(page) < 27:
        return False
    size = 27 + page[26] + sum(page[27 : 27 + page[26]])
    return bool(page[5] & 4) and len(page) >= size


def _of_unknown_length(path: Source) -> AudioBytes | None:
    """A WAV file with audio whose header gives 0 bytes, under the length that readers take as unknown; else None."""
    with _bytes_of(path) as file:
        content = bytearray(file.read())
    size = content.find(b"data\0\0\0\0") + 4
    if size < 4 or re.match(rb"[\w ]{4}|$", content[size + 4 : size + 8]):  # nothing follows, or another chunk
        return None
    content[size : size + 4] = b"\xff\xff\xff\xff"
    return AudioBytes(path, bytes(content))


def _bytes_of(path: Source) -> IO[bytes]:
    return io.BytesIO(path.getvalue()) if isinstance(path, AudioBytes) else open(path, "rb")


def _knows_length(file: Any, path: Source) -> bool:
    """Whether the header gives the length; without one of these tags, libsndfile guesses that of an MP3 file."""
    with _bytes_of(path) as content:
        return file.format != "MP3" or bool(re.search(b"Xing|Info|VBRI", content.read(1 << 13)))


def _read(file: Any, path: Source, count: float) -> Samples:
    """Up to `count` samples `(L, channels)`, block by block, since a header may promise more than memory holds."""
    begin, whole, promised = file.tell(), math.isinf(count), file.frames
    file._info.seekable = 0  # soundfile seeks after each block, which fails where the header does not know the length
    blocks = [np.empty((0, file.channels), np.float32)]
    while count > 0 and len(block := file.read(int(min(count, _BLOCK)), dtype="float32", always_2d=True)):
        blocks.append(block)
        count -= len(block)
    samples = np.concatenate(blocks)
    if whole:
        _check_length(file, path, promised, begin + len(samples))
    return samples


def _check_length(file: Any, path: Source, promised: int, found: int) -> None:
    """Raise InputError if a file holds fewer samples than its header promises."""
    expected, seconds = promised / file.samplerate, found / file.samplerate
    if promised < _UNKNOWN_FRAMES and seconds < expected - _TOLERANCE and _knows_length(file, path):
        raise InputError(f"{path}: is cut off: its header promises {expected:.2f} s of audio, it holds {seconds:.2f} s")
