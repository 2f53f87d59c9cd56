"""Streams: the same text however the audio is cut, and what guards it."""

from __future__ import annotations

import io
import itertools
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("soxr")
import tiny_listener

from latent.audio.arriving import ArrivingAudio, SampleBytes, SampleFormat
from latent.recognition.live_session import LiveSession
from latent.recognition.recognizer import Recognizer
from s2s.errors import InputError

SIGNAL = (0.2 * np.random.default_rng(3).standard_normal(9000)).astype(np.float32)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streams")
    tiny_listener.write_listener(folder / "random", streaming=True)
    loop = ["Speaker 0:", "it rains", " and rains", " again. "]
    tiny_listener.write_listener(folder / "parrot", loop, streaming=True)
    tiny_listener.write_listener(folder / "short", ["Speaker 0:", "Yes. "], streaming=True)
    tiny_listener.write_listener(folder / "tags", ["[Silence]", "[Silence] "], streaming=True)
    tiny_listener.write_listener(folder / "small", streaming=True, max_positions=200)
    return folder


@pytest.fixture(scope="module")
def recognizer(home: Path) -> Recognizer:
    return Recognizer.load(home / "random", device="cpu", max_tokens=3)


def texts_of(recognizer: Recognizer, pieces: Sequence[Any], rate: int) -> list[str]:
    live = recognizer.follow(rate)
    return [chunk.text for piece in [*pieces] for chunk in live.push(piece)] + [chunk.text for chunk in live.close()]


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, 9000), max_size=6).map(sorted), st.sampled_from([8000, 24_000]))
def test_a_stream_says_the_same_however_it_is_cut(recognizer: Recognizer, cuts: list[int], rate: int) -> None:
    assert texts_of(recognizer, np.split(SIGNAL, cuts), rate) == texts_of(recognizer, [SIGNAL], rate)


def test_a_file_is_heard_as_a_stream_of_it(recognizer: Recognizer) -> None:
    whole = recognizer.transcribe(SIGNAL, 8000)
    live = recognizer.follow(8000)
    chunks = [chunk for piece in np.split(SIGNAL, 9) for chunk in live.push(piece)]
    chunks += live.close()
    assert live.transcript() == whole
    assert [chunk.start for chunk in chunks] == pytest.approx([number * 6400 / 24_000 for number in range(len(chunks))])
    assert chunks[-1].end == live.seconds == pytest.approx(9000 / 8000)
    assert all(chunk.work_seconds > 0 for chunk in chunks)


def test_text_comes_as_soon_as_its_window_is_full(recognizer: Recognizer) -> None:
    live = recognizer.follow(24_000)
    assert not list(live.push(np.zeros(9599, np.float32)))
    assert len(list(live.push(np.zeros(1, np.float32)))) == 1, "2 + 1 frames of 3200 samples"
    assert not list(live.push(np.zeros(6399, np.float32)))
    assert len(list(live.push(np.zeros(1, np.float32)))) == 1, "2 more"
    assert len(list(live.close())) == 1, "the frame that was heard in advance has a chunk of its own"


def test_a_stream_without_audio_has_no_text(recognizer: Recognizer) -> None:
    live = recognizer.follow(16_000)
    assert not [*live.push(np.empty(0, np.float32)), *live.close()]
    assert live.transcript().segments == []


def test_what_is_said_chunk_after_chunk_is_left_out_reported_and_not_remembered(home: Path) -> None:
    parrot = Recognizer.load(home / "parrot", device="cpu")
    live = parrot.follow(24_000)
    chunks = list(live.push(np.zeros(6400 * 5 + 3200, np.float32)))
    assert [chunk.text for chunk in chunks] == ["Speaker 0:it rains and rains again. "] * 2 + [""] * 3
    assert chunks[2].warnings == ["the model repeated itself; left out: 'Speaker 0:it rains and rains again.'"]
    assert live.transcript().text == "it rains and rains again. it rains and rains again."
    assert "left out" in " ".join(live.transcript().warnings)
    unguarded = Recognizer.load(home / "parrot", device="cpu", max_repeats=0).follow(24_000)
    assert len({chunk.text for chunk in unguarded.push(np.zeros(6400 * 5 + 3200, np.float32))}) == 1


@pytest.mark.parametrize("name", ["short", "tags"])
def test_short_answers_and_silence_may_be_said_again_and_again(home: Path, name: str) -> None:
    chunks = list(Recognizer.load(home / name, device="cpu").follow(24_000).push(np.zeros(6400 * 6, np.float32)))
    assert len({chunk.text for chunk in chunks}) == 1
    assert not any(chunk.warnings for chunk in chunks)


def test_a_chunk_that_reaches_the_limit_is_reported(recognizer: Recognizer) -> None:
    live = recognizer.follow(24_000)
    warnings = [warning for chunk in live.push(np.tile(SIGNAL, 4)) for warning in chunk.warnings]
    assert "the text of a chunk was cut after 3 tokens; see decoder.max_tokens" in warnings


def test_a_stream_beyond_the_memory_of_the_model_begins_anew_and_says_so(home: Path) -> None:
    small = Recognizer.load(home / "small", device="cpu", max_tokens=4)
    live = small.follow(24_000)
    chunks = list(live.push(np.tile(SIGNAL, 12)))
    begun = [number for number, chunk in enumerate(chunks) if any("began again" in told for told in chunk.warnings)]
    assert begun
    assert len(chunks) == 16, "no audio is lost"


def test_an_offline_model_follows_no_stream(tmp_path: Path) -> None:
    offline = Recognizer.load(tiny_listener.write_listener(tmp_path / "offline"), device="cpu")
    with pytest.raises(InputError, match="offline: hears whole recordings only; leave --stream out"):
        offline.follow(24_000)


def wav(samples: Any, rate: int, channels: int = 1, width: int = 2) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return content.getvalue()


class Trickle(io.BytesIO):
    """A file that gives a few bytes at a time, and nothing now and then."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size or 0, 1 + self.tell() % 7) if size is not None and size > 0 else size)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_wav_stream_is_read_as_it_comes_whatever_its_header_says_of_its_length(channels: int) -> None:
    values = np.arange(-30, 30, dtype="<i2") * 1000
    content = bytearray(wav(values, 8000, channels))
    content[40:44] = b"\xff\xff\xff\xff"
    arriving = ArrivingAudio(Trickle(bytes(content)), "pipe")
    assert arriving.format == SampleFormat(8000, channels, 16)
    expected = values.reshape(-1, channels).astype(np.float32).mean(axis=1) / 32768
    np.testing.assert_array_equal(np.concatenate(list(arriving)), expected)


def test_raw_samples_need_no_header_and_half_a_sample_at_the_end_is_dropped() -> None:
    values = np.arange(9, dtype="<i2")
    arriving = ArrivingAudio(io.BytesIO(values.tobytes() + b"\1"), "pipe", SampleFormat(8000))
    np.testing.assert_array_equal(np.concatenate(list(arriving)) * 32768, values)


def test_wider_samples_are_read_too() -> None:
    three = b"".join(int(value).to_bytes(3, "little", signed=True) for value in (0, 1 << 22, -(1 << 23)))
    np.testing.assert_array_equal(SampleFormat(8000, 1, 24).decode(three), [0, 0.5, -1])
    floats = np.array([0.25, -1], "<f4")
    np.testing.assert_array_equal(SampleFormat(8000, 1, 32, is_float=True).decode(floats.tobytes()), floats)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"ID3 and more than twelve", "pipe: must be a WAV stream, found b'ID3 '; give --rate for raw samples"),
        (b"RIFF", "pipe: ends within the header of a WAV file"),
        (
            wav(np.zeros(4, np.uint8), 8000, 1, 1),
            "must be PCM of 16, 24 or 32 bits, floats of 32 or G.711, found format 1, 8",
        ),
    ],
    ids=["other", "cut", "8 bits"],
)
def test_what_is_no_wav_stream_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ArrivingAudio(io.BytesIO(content), "pipe")


def test_a_file_that_grows_is_followed_until_it_stops(tmp_path: Path) -> None:
    path = tmp_path / "growing.raw"
    path.write_bytes(np.arange(5, dtype="<i2").tobytes())
    with open(path, "rb", buffering=0) as file, open(path, "ab", buffering=0) as more:
        pieces = iter(ArrivingAudio(file, "growing", SampleFormat(8000), patience=0.3))
        first = next(pieces)
        more.write(np.arange(5, 8, dtype="<i2").tobytes())
        rest = list(pieces)
    np.testing.assert_array_equal(np.concatenate([first, *rest]) * 32768, np.arange(8))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 160), max_size=8).map(sorted))
def test_pushed_bytes_are_the_samples_of_the_file_however_they_are_cut(cuts: list[int]) -> None:
    values = np.arange(-30, 30, dtype="<i2") * 1000
    content = wav(values, 8000, 2)
    stream = SampleBytes("socket", None, "advice")
    pieces = [content[begin:end] for begin, end in itertools.pairwise([0, *cuts, len(content)])]
    found = np.concatenate([stream.push(piece) for piece in pieces])
    stream.close()
    assert stream.format == SampleFormat(8000, 2, 16)
    np.testing.assert_array_equal(found, values.reshape(-1, 2).astype(np.float32).mean(axis=1) / 32768)


def test_a_header_without_end_is_refused_before_it_fills_the_memory() -> None:
    stream = SampleBytes("socket", None, "give another encoding")
    with pytest.raises(InputError, match=r"socket: a WAV header of more than 1,048,576 bytes; give another encoding"):
        stream.push(b"RIFF\0\0\0\0WAVELIST\xff\xff\xff\x7f")


def test_pieces_of_streams_take_turns_up_to_a_length_and_a_fault_is_its_own(recognizer: Recognizer) -> None:
    session = LiveSession(max_rows=3, max_seconds=10.0)
    live = [recognizer.follow(24_000) for _ in range(2)]
    first, second = (session.add(one.push(np.tile(SIGNAL, 3)), 4.0) for one in live)
    assert session.has_room(2.0)
    assert not session.has_room(3.0)
    broken = session.add(iter(map(int, ["no number"])))  # type: ignore[arg-type]
    assert not session.has_room()
    heard = session.step()
    assert [one.key for one in heard] == [first, second, broken]
    assert isinstance(heard[2].found, ValueError)
    assert [one.is_last for one in heard] == [False, False, True]
    session.remove(first)
    while len(session):
        heard += session.step()
    assert [one.key for one in heard[3:]] == [second] * len(heard[3:])
    assert len(heard) > 4
    assert LiveSession(1, 10.0).has_room(60.0), "one alone may be longer"
