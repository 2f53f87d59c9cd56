"""Audio files whose header and content disagree: what was cut off is refused, what has no length is read whole."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest

from latent.audio.files import audio_info, load_audio
from s2s.errors import InputError

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("soxr")

RATE = 16000
TONE = (0.3 * np.sin(np.arange(5 * RATE) / 7)).astype(np.float32)


def encoded(kind: str, samples: np.ndarray = TONE, subtype: str | None = None) -> bytearray:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format=kind, subtype=subtype)
    return bytearray(buffer.getvalue())


def wav(data_bytes: int, riff_bytes: int | None = None) -> bytearray:
    content = encoded("WAV", subtype="PCM_16")
    content[40:44] = struct.pack("<I", data_bytes)
    if riff_bytes is not None:
        content[4:8] = struct.pack("<I", riff_bytes)
    return content


def flac(total_samples: int) -> bytearray:
    content = encoded("FLAC", subtype="PCM_16")
    fields = int.from_bytes(content[18:26], "big") & ~((1 << 36) - 1)  # rate, channels, bits
    content[18:26] = (fields | total_samples).to_bytes(8, "big")
    return content


@pytest.mark.parametrize(
    "content",
    [
        wav(0),
        wav(0, 0),
        wav(0, 36),
        wav(0, 0xFFFFFFFF),
        wav(0xFFFFFFFF, 0xFFFFFFFF),
        wav(0x7FFFFFFF, 0x7FFFFFFF),
        wav(0x7FFFF000, 0x7FFFF024),
        wav(0x80000000),
        flac(0),
    ],
)
def test_files_written_to_a_pipe_are_read_whole(tmp_path: Path, content: bytearray) -> None:
    path = tmp_path / "a.audio"
    path.write_bytes(content)
    np.testing.assert_allclose(load_audio(path, RATE), TONE, atol=1e-4)
    assert audio_info(path) == (RATE, 1, len(TONE))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "FLOAT"),
        ("AIFF", "PCM_16"),
        ("AU", "PCM_16"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", "MPEG_LAYER_III"),
    ],
)
def test_files_that_were_cut_off_are_refused(tmp_path: Path, kind: str, subtype: str, share: float) -> None:
    content = encoded(kind, subtype=subtype)
    path = tmp_path / "a.audio"
    path.write_bytes(content)
    assert len(load_audio(path, RATE)) >= len(TONE)
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"a\.audio: (is cut off: |cannot be read as audio: )") as failure:
        load_audio(path, RATE)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("total", [(1 << 36) - 1, 10**9, len(TONE) * 2])
def test_a_flac_header_that_lies_allocates_nothing_for_it(tmp_path: Path, total: int) -> None:
    path = tmp_path / "a.flac"
    path.write_bytes(flac(total))
    with pytest.raises(InputError, match=r"is cut off: its header promises .* s of audio, it holds 5\.00 s"):
        load_audio(path, RATE)
    np.testing.assert_allclose(load_audio(path, RATE, 0.0, 1.0), TONE[:RATE], atol=1e-4)


def with_rate(rate: int) -> bytearray:
    content = wav(len(TONE) * 2)
    content[24:28] = struct.pack("<I", rate)
    return content


def with_channels(count: int) -> bytearray:
    content = wav(len(TONE) * 2)
    content[22:24] = struct.pack("<H", count)
    content[32:34] = struct.pack("<H", 2 * count)
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (with_rate(0), "cannot be read as audio"),
        (with_rate(1), r"sample rate must be 1000 to 1000000 Hz, found 1 Hz"),
        (with_rate(10_000_000), r"sample rate must be 1000 to 1000000 Hz, found 10000000 Hz"),
        (with_channels(0), "cannot be read as audio: .*Channel count is zero"),
        (with_channels(64), "must have 1 to 8 channels, found 64"),
        (encoded("WAV", np.array([0.1, np.nan, 0.2]), "FLOAT"), "sample 1 is nan, expected finite numbers"),
        (encoded("WAV", np.array([0.1, 0.2, -np.inf]), "FLOAT"), "sample 2 is -inf, expected finite numbers"),
        (encoded("WAV", np.zeros(0), "PCM_16"), "empty audio"),
        (b"", "cannot be read as audio"),
        (b"Hello, this is text.\n" * 9, "cannot be read as audio"),
        (b'{"id": "a"}\n', "cannot be read as audio"),
        (wav(0)[:44], "empty audio"),
        (wav(0)[:44] + b"LIST\4\0\0\0INFO", "empty audio"),
    ],
)
def test_what_cannot_be_audio_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.wav: .*{message}") as failure:
        load_audio(path, RATE)
    assert "\n" not in str(failure.value)


def test_headerless_audio_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.RAW").write_bytes(b"\0" * 64)
    with pytest.raises(InputError, match=r"a\.RAW: .*audio"):
        audio_info(tmp_path / "a.RAW")
