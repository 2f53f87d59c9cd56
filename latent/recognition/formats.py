"""Transcripts as lines of a file: JSON lines, plain text, RTTM, and subtitles of one recording."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from latent.recognition.transcript import Transcript
from latent.subtitles import FORMATS as SUBTITLES
from latent.subtitles import Subtitle
from latent.subtitling import subtitles_of
from s2s.errors import InputError
from s2s.json_files import dump_json

TranscriptFormat = Literal["jsonl", "txt", "rttm", "srt", "vtt"]
_ALL: tuple[TranscriptFormat, ...] = ("jsonl", "txt", "rttm", "srt", "vtt")


def transcript_format(output: Path, recordings: int) -> TranscriptFormat:
    """The format of an output, by its suffix.

    Raises:
        InputError: nothing is written in that format, or a file of it holds one recording alone.
    """
    suffix = output.suffix.lower().removeprefix(".")
    found = next((name for name in _ALL if name == suffix), None)
    if found is None:
        raise InputError(f"{output}: the suffix must be one of .{', .'.join(_ALL)}, found {output.suffix!r}")
    if found in SUBTITLES and recordings > 1:
        raise InputError(
            f"{output}: subtitles are of one recording, found {recordings}; give an output in .jsonl, or one by one"
        )
    return found


def check_words(format: TranscriptFormat) -> None:
    """Raise InputError if a format has no place for times of words."""
    if format in ("txt", "rttm"):
        raise InputError(
            f"--words: .{format} has no place for times of words; give an --output in .jsonl, .srt or .vtt"
        )


def transcript_lines(id: str, transcript: Transcript, format: TranscriptFormat) -> list[str]:
    """A transcript as lines.

    Plain text is one line without speakers. RTTM has a line for each segment of a known speaker. Subtitles of segments
    whose words have times are sentences.
    """
    if format == "jsonl":
        return [dump_json({"id": id, **transcript.record()})]
    if format == "txt":
        return [" ".join(transcript.text.split())]
    if format == "rttm":
        return list(_rttm(id, transcript))
    return SUBTITLES[format](_subtitles(transcript)).removesuffix("\n").split("\n")


def failure_lines(id: str, error: str, format: TranscriptFormat) -> list[str]:
    """What stands for a recording that could not be transcribed."""
    failed: dict[str, Any] = {"id": id, "text": None, "error": error}
    return [dump_json(failed)] if format == "jsonl" else [""] if format == "txt" else []


def _rttm(id: str, transcript: Transcript) -> Iterator[str]:
    """Lines of the Rich Transcription format of NIST (RT-09 evaluation plan, appendix A)."""
    for segment in transcript.segments:
        if segment.speaker is None or segment.start is None or segment.end is None or segment.end <= segment.start:
            continue
        name, speaker = ("_".join(text.split()) or "_" for text in (id, segment.speaker))
        length = segment.end - segment.start
        yield f"SPEAKER {name} 1 {segment.start:.3f} {length:.3f} <NA> <NA> {speaker} <NA> <NA>"


def _subtitles(transcript: Transcript) -> Iterator[Subtitle]:
    named = len(transcript.speakers) > 1
    for segment in transcript.segments:
        speaker = f"Speaker {segment.speaker}" if named and segment.speaker is not None else None
        if segment.words:
            yield from subtitles_of(segment.text, 0.0, transcript.seconds, segment.words, speaker)
        else:
            yield Subtitle(segment.start or 0.0, segment.end or transcript.seconds, segment.text, speaker)
