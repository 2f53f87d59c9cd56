"""Times of words are found segment by segment, each in its own stretch of the recording."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latent.audio.files import Samples
from latent.audio.recording import Recording
from latent.recognition.transcript import Segment, Transcript
from latent.recognition.words import RATE, with_words
from latent.subtitles import Word

pytest.importorskip("soxr")


class Marked:
    """Hears a signal whose samples count tenths of seconds: notes what stretch it was given."""

    def __init__(self, missing: Sequence[str] = ()) -> None:
        self.given: dict[str, tuple[float, float]] = {}
        self.missing = missing

    def fingerprint(self) -> str:
        return "marked"

    def refusal(self, language: str | None) -> str | None:
        return None

    def words(self, text: str, samples: Samples, language: str | None) -> list[Word] | str | None:
        self.given[text] = (round(float(samples[0]) * 100, 2), round(float(samples[-1]) * 100, 2))
        return "that nobody says" if text in self.missing else [Word("one", 0.0, 0.1), Word("two", 0.1, 0.2)]


def tenths(seconds: float) -> Recording:
    return Recording((np.arange(round(seconds * RATE)) // (RATE // 10) / 1000).astype(np.float32), RATE)


def test_a_segment_is_heard_with_the_silence_around_it_and_without_its_neighbors() -> None:
    segments = [Segment("one two", 1.0, 2.0), Segment("a", 2.0, 3.0), Segment("b", 6.0, 7.0), Segment("c", 6.5, 8.0)]
    aligner = Marked()
    found = with_words(Transcript(segments, 8.0), tenths(8.0), aligner)
    assert aligner.given == {"one two": (0.7, 1.9), "a": (2.0, 3.2), "b": (5.7, 7.2), "c": (6.2, 7.9)}
    assert found.segments[0].words == [Word("one ", 0.75, 0.85), Word("two", 0.85, 0.95)]
    assert "".join(word.text for word in found.segments[1].words) == "a", "joined they are the text"


def test_segments_without_words_are_counted_by_the_reason() -> None:
    segments = [Segment(str(number), 130.0 * number, 130.0 * number + 1 + 124 * (number == 2)) for number in range(4)]
    found = with_words(Transcript(segments, 400.0, warnings=["w"]), tenths(400.0), Marked(["1", "3"]))
    assert found.warnings == [
        "w",
        "no times of words for 2 of 4 segments that nobody says",
        "no times of words for 1 of 4 segments longer than 120 s",
    ]
    assert [bool(segment.words) for segment in found.segments] == [True, False, False, False]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 320), st.integers(0, 320)), max_size=6), st.integers(1, 300))
def test_stretches_are_those_of_the_whole_recording(spans: list[tuple[int, int]], length: int) -> None:
    samples = np.random.default_rng(0).standard_normal(1000 * length // 10).astype(np.float32)
    wanted = sorted((min(span) / 10, max(span) / 10) for span in spans)
    found = list(Recording(samples, 1000).stretches(1000, wanted))
    assert len(found) == len(wanted)
    for (start, end), stretch in zip(wanted, found, strict=True):
        assert np.array_equal(stretch, samples[round(start * 1000) : round(end * 1000)])
