"""Transcripts in the forms of OpenAI's endpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from starlette.responses import JSONResponse, PlainTextResponse, Response

from latent.recognition.formats import transcript_lines
from latent.recognition.transcript import Segment, Transcript

TranscriptionFormat = Literal["json", "text", "srt", "vtt", "verbose_json", "diarized_json"]
Timed = Sequence[Literal["segment", "word"]]
"""What has times in verbose_json."""

_UNKNOWN = {"tokens": [], "temperature": 0.0, "avg_logprob": None, "compression_ratio": None, "no_speech_prob": None}
"""What OpenAI's model says of a segment, and a recognizer here does not."""


def transcription(transcript: Transcript, form: TranscriptionFormat, timed: Timed) -> Response:
    """A transcript as the answer of a request; `timed` is what verbose_json lists with times."""
    if form in _JSON:
        usage = {"type": "duration", "seconds": round(transcript.seconds, 3)}
        warned = {"warnings": list(transcript.warnings)} if transcript.warnings else {}
        return JSONResponse({**_JSON[form](transcript, timed), **warned, "usage": usage})
    if form == "text":
        return PlainTextResponse(f"{transcript.text}\n")
    lines = transcript_lines("file", transcript, "vtt" if form == "vtt" else "srt")
    return PlainTextResponse("".join(f"{line}\n" for line in lines), media_type=_SUBTITLES[form])


def _plain(transcript: Transcript, _: Timed) -> dict[str, Any]:
    return {"text": transcript.text}


def _verbose(transcript: Transcript, timed: Timed) -> dict[str, Any]:
    segments = [
        {"id": number, "seek": 0, **segment.record(), **_UNKNOWN} for number, segment in enumerate(transcript.segments)
    ]
    words = [
        {"word": word.text.strip(), "start": round(word.start, 2), "end": round(word.end, 2)}
        for segment in transcript.segments
        for word in segment.words
    ]
    return {
        "task": "transcribe",
        "language": transcript.language,
        "duration": round(transcript.seconds, 3),
        "text": transcript.text,
        **({"segments": segments} if "segment" in timed else {}),
        **({"words": words} if "word" in timed else {}),
    }


def _diarized(transcript: Transcript, _: Timed) -> dict[str, Any]:
    return {
        "task": "transcribe",
        "duration": round(transcript.seconds, 3),
        "text": transcript.text,
        "segments": [_turn(number, segment) for number, segment in enumerate(transcript.segments)],
    }


def _turn(number: int, segment: Segment) -> dict[str, Any]:
    speaker = "?" if segment.speaker is None else segment.speaker
    return {"type": "transcript.text.segment", "id": f"seg_{number}", **segment.record(), "speaker": speaker}


_JSON: dict[str, Callable[[Transcript, Timed], dict[str, Any]]] = {
    "json": _plain,
    "verbose_json": _verbose,
    "diarized_json": _diarized,
}
_SUBTITLES = {"srt": "application/x-subrip; charset=utf-8", "vtt": "text/vtt; charset=utf-8"}
