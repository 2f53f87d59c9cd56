"""What was said in a recording: segments with speakers and times, and what went wrong on the way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from latent.subtitles import Word


@dataclass(frozen=True)
class Segment:
    """A stretch of speech of one speaker.

    Args:
        text: What was said; "[Music]" and the like for other sounds.
        start: In seconds, or None where the model gave none.
        end: As `start`.
        speaker: A number as text, or a name; None: unknown.
        words: Its words with their times, if they are known; joined they are the text.
    """

    text: str
    start: float | None = None
    end: float | None = None
    speaker: str | None = None
    words: Sequence[Word] = ()

    def record(self) -> dict[str, Any]:
        """As JSON."""
        record = {"start": self.start, "end": self.end, "speaker": self.speaker, "text": self.text}
        words = [{"start": round(w.start, 2), "end": round(w.end, 2), "text": w.text.strip()} for w in self.words]
        return {**record, "words": words} if words else record


@dataclass(frozen=True)
class Transcript:
    """A recording as text.

    Args:
        segments: In the order of the model; all of them have times.
        seconds: Length of the recording.
        language: Code of two letters, if it is known.
        warnings: What a reader should know: text that could not be parsed, repetition, a limit that was reached.
        raw: What the model wrote, if that is not what the segments say.
    """

    segments: Sequence[Segment]
    seconds: float
    language: str | None = None
    warnings: Sequence[str] = ()
    raw: str | None = field(default=None, repr=False)

    @property
    def text(self) -> str:
        """The text of all segments."""
        return " ".join(segment.text for segment in self.segments if segment.text)

    @property
    def speakers(self) -> list[str]:
        """The speakers, in the order in which they first speak."""
        return list(dict.fromkeys(segment.speaker for segment in self.segments if segment.speaker is not None))

    def record(self) -> dict[str, Any]:
        """As JSON; what there is nothing to say about is left out."""
        optional = {"language": self.language, "warnings": list(self.warnings), "raw": self.raw}
        return {
            "seconds": round(self.seconds, 3),
            "text": self.text,
            "segments": [segment.record() for segment in self.segments],
            **{name: value for name, value in optional.items() if value},
        }


def timed(segments: Iterable[Segment], seconds: float) -> list[Segment]:
    """Segments with a start and an end each, from 0 to `seconds`, in hundredths; those without text are left out.

    A start that is missing is the end before it; an end that is missing, the start of the next one, or `seconds`.
    """
    spoken = [segment for segment in segments if segment.text]
    found: list[Segment] = []
    for segment, following in zip(spoken, [*spoken[1:], Segment("")], strict=False):
        before = found[-1].end if found else 0.0
        start = _within(segment.start, before or 0.0, seconds)
        later = _within(following.start, seconds, seconds)
        end = max(start, _within(segment.end, max(start, later), seconds))
        found.append(replace(segment, start=round(start, 2), end=round(end, 2)))
    return found


def _within(time: float | None, otherwise: float, seconds: float) -> float:
    return otherwise if time is None else min(max(time, 0.0), seconds)
