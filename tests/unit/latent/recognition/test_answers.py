"""What VibeVoice-ASR writes, read: whatever it looks like, no text is lost."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latent.recognition.answers import read_answer, transcript_of, written_answer
from latent.recognition.transcript import Segment, timed

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).map(str.strip).filter(bool)
TIMES = st.floats(0, 3600).map(lambda seconds: round(seconds, 2))
SEGMENTS = st.lists(st.builds(Segment, TEXTS, TIMES, TIMES, st.sampled_from(["0", "1", "12", None])), max_size=5)


@given(SEGMENTS)
def test_an_answer_that_a_model_is_trained_on_is_read_back(segments: list[Segment]) -> None:
    assert read_answer(f"assistant\n{written_answer(segments)}\n") == (segments, "")


@given(SEGMENTS, st.data())
def test_an_answer_that_is_cut_off_keeps_its_complete_segments_and_the_text_of_the_last(
    segments: list[Segment], data: st.DataObject
) -> None:
    whole = written_answer(segments)
    cut = data.draw(st.integers(0, len(whole)))
    found, rest = read_answer(whole[:cut])
    complete = [one for one in range(len(segments)) if len(written_answer(segments[: one + 1])) - 1 <= cut]
    assert found[: len(complete)] == segments[: len(complete)]
    assert len(found) <= len(complete) + 1
    if len(found) > len(complete):
        assert not rest
        assert segments[len(complete)].text.startswith(found[-1].text.rstrip())


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_whatever_a_model_writes_is_in_the_transcript_or_its_raw_text(raw: str) -> None:
    transcript = transcript_of(raw, 10.0)
    read = read_answer(raw)
    if read.rest:
        assert transcript.raw == raw
        assert transcript.warnings
        assert read.rest in transcript.text
    assert json.dumps(transcript.record())


@pytest.mark.parametrize(
    ("time", "seconds"),
    [("1.50", 1.5), (2, 2.0), ("1:02.5", 62.5), ("1:00:00", 3600.0), ("x", None), (None, None), ("nan", None)],
)
def test_times_are_numbers_text_or_clocks(time: object, seconds: float | None) -> None:
    answer = json.dumps([{"Start": time, "End": 5, "Speaker": 0, "Content": "Hi."}])
    assert read_answer(answer).segments == [Segment("Hi.", seconds, 5.0, "0")]


def test_text_that_is_no_segment_becomes_one_with_a_warning() -> None:
    transcript = transcript_of("There is no speech here.", 4.0, "en")
    assert transcript.segments == [Segment("There is no speech here.", 0.0, 4.0)]
    assert transcript.record() == {
        "seconds": 4.0,
        "text": "There is no speech here.",
        "segments": [{"start": 0.0, "end": 4.0, "speaker": None, "text": "There is no speech here."}],
        "language": "en",
        "warnings": ["what the model wrote are no segments, it is kept as text"],
        "raw": "There is no speech here.",
    }


def test_a_garbled_end_follows_the_segments_that_were_read() -> None:
    transcript = transcript_of('[{"Start":0,"End":1,"Speaker":0,"Content":"One."},{"Start":1,oops', 9.0)
    assert [segment.text for segment in transcript.segments] == ["One.", '{"Start":1,oops']
    assert (transcript.segments[1].start, transcript.segments[1].end) == (1.0, 9.0)


@given(SEGMENTS, st.floats(0.1, 3600))
def test_times_of_a_transcript_are_within_the_recording(segments: list[Segment], seconds: float) -> None:
    for segment in timed(segments, seconds):
        assert segment.start is not None
        assert segment.end is not None
        assert 0 <= segment.start <= segment.end <= round(seconds, 2)


def test_missing_times_are_taken_from_the_neighbors() -> None:
    segments = [Segment("a", None, None), Segment("b", 2.0, None), Segment(" "), Segment("c", None, 99.0)]
    assert timed([segments[0], segments[1], segments[3]], 10.0) == [
        Segment("a", 0.0, 2.0),
        Segment("b", 2.0, 10.0),
        Segment("c", 10.0, 10.0),
    ]
