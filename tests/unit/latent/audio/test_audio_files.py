"""Audio files: what is written is what is read, whole, in pieces, resumed; bad files are named in one line."""

from __future__ import annotations

import contextlib
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latent.audio.files import AudioWriter, audio_blocks, audio_info, load_audio, write_audio
from latent.audio.growing_wav import GrowingWav
from s2s.errors import InputError

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("soxr")

RATE = 16000


def tone(seconds: float = 0.3, hertz: float = 440.0, rate: int = RATE) -> Any:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_lossless_round_trip_is_within_half_a_step_of_16_bits(tmp_path: Path, suffix: str) -> None:
    write_audio(tmp_path / f"a{suffix}", tone(), RATE)
    assert np.abs(load_audio(tmp_path / f"a{suffix}", RATE) - tone()).max() <= 0.5 / 32768 + 1e-7


@pytest.mark.parametrize("rate", [24000, 22050])
def test_ogg_keeps_length_and_rate(tmp_path: Path, rate: int) -> None:
    write_audio(tmp_path / "a.ogg", tone(rate=rate), rate)
    assert audio_info(tmp_path / "a.ogg") == (rate, 1, len(tone(rate=rate)))


@pytest.mark.parametrize("size", [1000, 1600, 10**6])
def test_blocks_are_the_file(tmp_path: Path, size: int) -> None:
    write_audio(tmp_path / "a.wav", tone(), RATE)
    blocks = list(audio_blocks(tmp_path / "a.wav", size))
    assert {len(block) for block in blocks[:-1]} <= {size}
    np.testing.assert_array_equal(np.concatenate(blocks), load_audio(tmp_path / "a.wav", RATE))


def test_a_kill_after_encoding_leaves_the_file_and_a_part_to_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: Path) -> None:
        raise KeyboardInterrupt(path)

    writer = AudioWriter(tmp_path / "a.flac", RATE)
    monkeypatch.setattr(Path, "unlink", killed)
    with contextlib.suppress(KeyboardInterrupt), writer:
        writer.write(tone())
        writer.sync()
    assert audio_info(tmp_path / "a.flac").num_samples == len(tone())
    monkeypatch.undo()
    with AudioWriter(tmp_path / "a.flac", RATE, resume_at=len(tone())):
        pass
    assert audio_info(tmp_path / "a.flac").num_samples == len(tone())
    assert not writer.part.exists()


@settings(max_examples=20, deadline=None)
@given(sizes=st.lists(st.integers(1, 400), min_size=1, max_size=6), kept=st.integers(0, 5))
def test_pieces_and_a_resumed_file_equal_the_whole(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], kept: int
) -> None:
    folder = tmp_path_factory.mktemp("pieces")
    samples = tone()[: sum(sizes)]
    pieces = np.split(samples, np.cumsum(sizes)[:-1])
    tags = {"comment": "synthetic", "title": "é"}
    write_audio(folder / "whole.wav", samples, RATE, tags)

    kept = min(kept, len(sizes) - 1)
    writer = AudioWriter(folder / "parts.wav", RATE, tags)
    with contextlib.suppress(KeyboardInterrupt), writer:
        for piece in pieces:
            writer.write(piece)
        raise KeyboardInterrupt
    with AudioWriter(folder / "parts.wav", RATE, tags, resume_at=sum(sizes[:kept])) as writer:
        for piece in pieces[kept:]:
            writer.write(piece)
    assert (folder / "parts.wav").read_bytes() == (folder / "whole.wav").read_bytes()
    assert not writer.part.exists()


def test_file_is_valid_after_every_write(tmp_path: Path) -> None:
    wav = GrowingWav.create(tmp_path / "a.wav", RATE, {})
    for pieces in range(1, 4):
        wav.write(tone(0.1))
        assert audio_info(tmp_path / "a.wav").num_samples == pieces * len(tone(0.1))
    wav.close()


def test_resume_ignores_bytes_of_an_unfinished_write(tmp_path: Path) -> None:
    wav = GrowingWav.create(tmp_path / "a.wav", RATE, {"comment": "x"})
    wav.write(tone(0.1))
    wav.close()
    with open(tmp_path / "a.wav", "ab") as file:
        file.write(b"\1\2\3")
    wav = GrowingWav.resume(tmp_path / "a.wav", RATE, len(tone(0.1)))
    wav.write(tone(0.1))
    wav.close()
    samples = load_audio(tmp_path / "a.wav", RATE)
    assert np.array_equal(samples[: len(samples) // 2], samples[len(samples) // 2 :])


def test_more_than_4_gib_is_read_by_soundfile(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    wav = GrowingWav.create(path, RATE, {})
    samples = 2**31 + 5
    wav._file.truncate(80 + 2 * samples)  # a hole in the file takes no disk
    wav.num_samples = samples
    wav.write(tone(0.1))
    wav.close()
    assert audio_info(path).num_samples == samples + len(tone(0.1))
    with open(path, "rb") as file:
        assert file.read(4) == b"RF64"
    assert np.abs(load_audio(path, RATE, start=samples / RATE) - tone(0.1)).max() < 1e-4


def test_full_disk_keeps_a_valid_file(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the disk; it needs a process of its own."""
    program = """
import resource, sys
import numpy as np
from latent.audio.files import AudioWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
with AudioWriter(sys.argv[1], 16000) as writer:
    writer.write(np.zeros(1600, np.float32))
    writer.write(np.zeros(1600, np.float32))
"""
    run = subprocess.run([sys.executable, "-c", program, str(tmp_path / "a.wav")], capture_output=True, text=True)
    assert re.search(r"\.a\.wav\.part\.wav: cannot be written: File too large; its first 0\.1 s are kept", run.stderr)
    assert audio_info(tmp_path / ".a.wav.part.wav").num_samples == 1600
    assert not (tmp_path / "a.wav").exists()


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_tags_are_read_back(tmp_path: Path, suffix: str) -> None:
    write_audio(tmp_path / f"a{suffix}", tone(), RATE, {"comment": "synthetic speech", "artist": "unilatent"})
    with soundfile.SoundFile(tmp_path / f"a{suffix}") as file:
        assert (file.comment, file.artist) == ("synthetic speech", "unilatent")


def test_a_segment_equals_the_slice_of_the_whole(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.flac", tone(), RATE)
    whole = load_audio(tmp_path / "a.flac", RATE)
    assert np.array_equal(load_audio(tmp_path / "a.flac", RATE, 100 / RATE, 1300 / RATE), whole[100:1300])


def test_load_audio_converts_rate_and_channels(tmp_path: Path) -> None:
    stereo = np.stack([tone(rate=44100), tone(rate=44100) * 0.5], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, 44100)
    samples = load_audio(tmp_path / "a.wav", RATE)
    assert samples.dtype == np.float32
    assert np.abs(samples - 0.75 * tone())[200:-200].max() < 1e-3


def test_nothing_appears_when_a_block_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), AudioWriter(tmp_path / "a.flac", RATE):
        raise ZeroDivisionError
    assert not (tmp_path / "a.flac").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"x\.wav: no such audio file"),
        (b"", r"x\.wav: cannot be read as audio"),
        (b"ID3 text, not audio", r"x\.wav: cannot be read as audio"),
        (struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36, b"WAVE", b"fmt ", 16, 1, 1, RATE, RATE * 2, 2, 16, b"data", 0),
         r"x\.wav: empty audio, expected at least one sample"),
    ],
)  # fmt: skip
def test_unreadable_and_empty_files_are_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "x.wav").write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_audio(tmp_path / "x.wav", RATE)


def test_blocks_of_two_channels_and_empty_segments_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.stack([tone(), tone()], axis=1), RATE)
    with pytest.raises(InputError, match=r"a\.wav: must be mono, found 2 channels"):
        list(audio_blocks(tmp_path / "a.wav", 100))
    write_audio(tmp_path / "b.wav", tone(), RATE)
    with pytest.raises(InputError, match=r"b\.wav: empty audio, expected at least one sample"):
        load_audio(tmp_path / "b.wav", RATE, 0.31, 0.4)


def test_nan_samples_are_named(tmp_path: Path) -> None:
    samples = tone()
    samples[7] = np.nan
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    with pytest.raises(InputError, match=r"a\.wav: sample 7 is nan, expected finite numbers"):
        load_audio(tmp_path / "a.wav", RATE)
    with pytest.raises(InputError, match=r"b\.wav: sample 7 is nan"):
        write_audio(tmp_path / "b.wav", samples, RATE)
    assert not (tmp_path / "b.wav").exists()


def test_unknown_suffix_empty_audio_and_unknown_tag_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.mp4: the suffix must be one of \.wav, \.flac, \.ogg, found '\.mp4'"):
        write_audio(tmp_path / "a.mp4", tone(), RATE)
    with pytest.raises(InputError, match=r"a\.wav: empty audio"), AudioWriter(tmp_path / "a.wav", RATE):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"a\.wav: cannot be written: File exists: .*file"):
        write_audio(tmp_path / "file/a.wav", tone(), RATE)
    with pytest.raises(InputError, match="no tag is called 'mood'"):
        write_audio(tmp_path / "a.wav", tone(), RATE, {"mood": "good"})


def test_resuming_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="cannot be resumed: No such file"),
        AudioWriter(tmp_path / "a.wav", RATE, resume_at=10),
    ):
        pass
    GrowingWav.create(tmp_path / ".a.wav.part.wav", RATE, {}).close()
    with (
        pytest.raises(InputError, match="cannot be resumed: expected 10 samples or more at 16000 Hz, found 0"),
        AudioWriter(tmp_path / "a.wav", RATE, resume_at=10),
    ):
        pass
