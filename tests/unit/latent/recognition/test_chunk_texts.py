"""Segments from the texts of chunks: nothing is lost, times never run back."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from latent.recognition.chunk_texts import segments_of, turns_of

MARKS = ["Speaker 0:", "Speaker 1:", " Speaker 2: "]
WORDS = st.sampled_from([*MARKS, "so ", "it rains. ", "[Noise]", "雨。", "\n", "3.5 "])
CHUNKS = st.lists(st.lists(WORDS, max_size=4).map("".join), max_size=30)


def letters(text: str) -> str:
    """What was said, without marks, tags and blanks."""
    return re.sub(r"Speaker\s*\d+\s*:|\[Noise\]|\s", "", text)


@given(CHUNKS, st.one_of(st.none(), st.floats(0.5, 100)))
def test_everything_that_was_said_is_in_a_segment_once(chunks: list[str], duration: float | None) -> None:
    found = segments_of(chunks, 2.0, duration)
    assert "".join(letters(segment.text) for segment in found) == "".join(letters(chunk) for chunk in chunks)


@given(CHUNKS, st.one_of(st.none(), st.floats(0.5, 100)))
def test_segments_follow_one_another(chunks: list[str], duration: float | None) -> None:
    before = 0.0
    for segment in segments_of(chunks, 2.0, duration):
        assert segment.start is not None
        assert segment.end is not None
        assert before <= segment.start <= segment.end
        before = segment.end
    assert before <= (2.0 * len(chunks) if duration is None else round(duration, 2))


def test_a_speaker_goes_on_until_another_is_marked() -> None:
    assert turns_of("and so. Speaker 1: Yes. ", "0") == ([("0", "and so."), ("1", "Yes.")], "1")
    assert turns_of(" ", "1") == ([], "1")
