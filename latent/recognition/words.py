"""When each word of a transcript is said, as an aligner finds it: segment by segment, in the stretch of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from latent.audio.files import Samples
from latent.audio.recording import Recording
from latent.recognition.transcript import Segment, Transcript
from latent.subtitles import Word
from latent.subtitling import written_words

RATE = 16000
"""Of the samples that an aligner hears, in Hz."""
_MARGIN = 0.25
"""Seconds before and after a segment that are heard too, where nobody else speaks: times of models are rough."""
_LONGEST = 120.0
"""Seconds of the longest segment: memory grows with the square of its length."""
_TOO_LONG = f"longer than {_LONGEST:g} s"


class WordAligner(Protocol):
    """Finds when words are said."""

    def fingerprint(self) -> Any:
        """What the times depend on besides text and sound."""

    def refusal(self, language: str | None) -> str | None:
        """Why it finds no words of a language (a code of two letters, None if unknown), or None."""

    def words(self, text: str, samples: Samples, language: str | None) -> list[Word] | str | None:
        """The words of a text as they are spoken, in a signal `(S,)` at `RATE`; or why they were not found.

        None: it has no words.
        """


def with_words(transcript: Transcript, recording: Recording, aligner: WordAligner) -> Transcript:
    """The transcript with words in its segments; a warning tells where they were not found.

    Raises:
        InputError: the recording cannot be read.
    """
    if (reason := aligner.refusal(transcript.language)) is not None:
        return replace(transcript, warnings=[*transcript.warnings, f"no times of words: {reason}"])
    segments, missing = list(transcript.segments), Counter[str]()
    spans = _spans(segments, transcript.seconds)
    order = sorted(spans, key=lambda place: spans[place])
    stretches = recording.stretches(RATE, [spans[place] for place in order])
    for place, samples in zip(order, stretches, strict=True):
        (start, end), segment = spans[place], segments[place]
        long = end - start > _LONGEST + 2 * _MARGIN
        found = _TOO_LONG if long else aligner.words(segment.text, samples, transcript.language)
        if isinstance(found, str):
            missing[found] += 1
        elif found:
            said = [Word(word.text, start + word.start, start + word.end) for word in found]
            segments[place] = replace(segment, words=written_words(" ".join(segment.text.split()), said))
    of = len(segments)
    told = [f"no times of words for {count} of {of} segments {reason}" for reason, count in missing.items()]
    return replace(transcript, segments=segments, warnings=[*transcript.warnings, *told])


def _spans(segments: Sequence[Segment], seconds: float) -> dict[int, tuple[float, float]]:
    """Where to listen for each segment with times, by its place: its stretch and some of the silence around it."""
    times = {p: (s.start, s.end) for p, s in enumerate(segments) if s.start is not None and s.end is not None}
    found = {}
    for place, (start, end) in times.items():
        before = max((over for _, over in times.values() if over <= start), default=0.0)
        after = min((begin for begin, _ in times.values() if begin >= end), default=seconds)
        found[place] = max(before, start - _MARGIN), min(after, end + _MARGIN)
    return found
