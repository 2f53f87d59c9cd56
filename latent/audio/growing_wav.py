"""A WAV file that is valid after every write, has no size limit, and can be resumed.

soundfile writes the length into the header when it closes the file, so a killed program leaves a length of 0. Layout:
RIFF, a reserved chunk of 28 bytes, `fmt `, the tags, `data`. Beyond 4 GiB the reserved chunk becomes `ds64` and RIFF
becomes RF64 in place.

Source: EBU Tech 3306 (RF64), Microsoft and IBM, Multimedia programming interface and data specifications 1.0 (RIFF).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from io import FileIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s2s.errors import InputError

_WIDTH = 2  # bytes a sample
_LIMIT = 0xFFFFFFFF
_TAGS = {
    "title": b"INAM", "artist": b"IART", "comment": b"ICMT", "software": b"ISFT", "date": b"ICRD", "copyright": b"ICOP",
    "license": b"ILIC",
}  # fmt: skip


class GrowingWav:
    """A mono WAV file of 16 bits that grows; make one with `create` or `resume`."""

    def __init__(self, path: Path, file: FileIO, sample_rate: int, tags: bytes, num_samples: int) -> None:
        self._path, self._file, self._sample_rate, self._tags = path, file, sample_rate, tags
        self.num_samples = num_samples

    @classmethod
    def create(cls, path: Path, sample_rate: int, tags: Mapping[str, str]) -> GrowingWav:
        """A new file without samples; it replaces an existing one.

        Raises:
            InputError: a tag is unknown; the file cannot be written.
        """
        unknown = [name for name in tags if name not in _TAGS]
        if unknown:
            raise InputError(f"{path}: no tag is called {unknown[0]!r}; known: {', '.join(_TAGS)}")
        try:
            wav = cls(path, open(path, "w+b", buffering=0), sample_rate, _tag_chunk(tags), 0)  # noqa: SIM115
            wav._write(wav._header())
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error.strerror}") from error
        return wav

    @classmethod
    def resume(cls, path: Path, sample_rate: int, num_samples: int) -> GrowingWav:
        """A file that this class wrote, cut to `num_samples`.

        Raises:
            InputError: the file is missing, has another format or rate, or is shorter than that.
        """
        try:
            file = open(path, "r+b", buffering=0)  # noqa: SIM115 (open between writes)
        except OSError as error:
            raise InputError(f"{path}: cannot be resumed: {error.strerror}") from error
        rate, tags, found = _parse_header(path, file)
        if rate != sample_rate or found < num_samples:
            file.close()
            raise InputError(
                f"{path}: cannot be resumed: expected {num_samples} samples or more at {sample_rate} Hz, "
                f"found {found} at {rate} Hz"
            )
        wav = cls(path, file, sample_rate, tags, num_samples)
        wav._cut()
        return wav

    def write(self, samples: NDArray[np.float32]) -> None:
        """Append samples `(L,)`, clipped to [-1, 1]; they are in the file, behind a valid header, when this returns.

        Raises:
            InputError: the disk is full; earlier samples stay in a valid file.
        """
        content = pcm_16(samples).tobytes()
        try:
            self._file.seek(0, os.SEEK_END)
            self._write(content)
            self.num_samples += len(samples)
            self._write_header()
        except OSError as error:
            self._cut()
            kept = self.num_samples / self._sample_rate
            raise InputError(
                f"{self._path}: cannot be written: {error.strerror}; its first {kept:.1f} s are kept"
            ) from error

    def sync(self) -> None:
        """Flush everything written to the disk, so that it survives a loss of power.

        Raises:
            InputError: the disk reports an error.
        """
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise InputError(f"{self._path}: cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._file.close()

    def _cut(self) -> None:
        # Shrinking and rewriting the header in place need no space, so this works on a full disk.
        self._file.truncate(len(self._header()) + self.num_samples * _WIDTH)
        self._write_header()

    def _write_header(self) -> None:
        self._file.seek(0)
        self._write(self._header())

    def _write(self, content: bytes) -> None:
        rest = memoryview(content)
        while rest:  # an unbuffered file may take a part, and fails at the next attempt if the disk is full
            rest = rest[self._file.write(rest) :]

    def _header(self) -> bytes:
        return _header(self._sample_rate, self._tags, self.num_samples)


def wav_header(sample_rate: int, tags: Mapping[str, str]) -> bytes:
    """What stands before the samples (mono, 16 bits) of a WAV file whose length is not known."""
    return _header(sample_rate, _tag_chunk(tags), None)


def pcm_16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Samples `(L,)`, clipped to [-1, 1], as numbers of 16 bits."""
    numbers: NDArray[np.int16] = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype("<i2")
    return numbers


def _header(rate: int, tags: bytes, num_samples: int | None) -> bytes:
    data = _LIMIT if num_samples is None else num_samples * _WIDTH
    size = 4 + 36 + 24 + len(tags) + 8 + data  # of everything after the size itself
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate * _WIDTH, _WIDTH, 8 * _WIDTH)
    if size > _LIMIT and num_samples is not None:
        riff, reserved = b"RF64", struct.pack("<4sIQQQI", b"ds64", 28, size, data, num_samples, 0)
    else:
        riff, reserved = b"RIFF", struct.pack("<4sI28x", b"JUNK", 28)
    start = struct.pack("<4sI4s", riff, min(size, _LIMIT), b"WAVE")
    return start + reserved + form + tags + struct.pack("<4sI", b"data", min(data, _LIMIT))


def _tag_chunk(tags: Mapping[str, str]) -> bytes:
    if not tags:
        return b""
    content = b"INFO"
    for name, value in tags.items():
        text = value.encode("utf-8") + b"\0"
        content += _TAGS[name] + struct.pack("<I", len(text)) + text + b"\0" * (len(text) % 2)
    return b"LIST" + struct.pack("<I", len(content)) + content


def _parse_header(path: Path, file: FileIO) -> tuple[int, bytes, int]:
    """Sample rate, tag chunk and number of whole samples, which the file's length gives even after a kill."""
    fixed = file.read(72)
    if len(fixed) < 72 or fixed[:4] not in (b"RIFF", b"RF64") or fixed[48:52] != b"fmt ":
        file.close()
        raise InputError(f"{path}: was not written by this program; remove it to start over")
    rate = struct.unpack("<I", fixed[60:64])[0]
    file.seek(72)
    tags = b""
    head = file.read(8)
    if head[:4] == b"LIST":
        tags = head + file.read(struct.unpack("<I", head[4:])[0])
        head = file.read(8)
    header = 72 + len(tags) + len(head)
    return rate, tags, (os.fstat(file.fileno()).st_size - header) // _WIDTH
