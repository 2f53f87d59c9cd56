"""Live transcription as the server of VibeVoice-ASR-Streaming offers it: the WebSocket /v1/stream, and /v1/config.

The client sends its options as JSON, then bytes of audio, then `end`. The server sends a message for each chunk of
text, and a last one with all of it.

Source: `vllm_plugin/asr_streaming_server.py` of `microsoft/VibeVoice`, for its clients. The model's name, encodings
besides floats of 32 bits, sample rates, times and warnings are additions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, WebSocket
from starlette.concurrency import run_in_threadpool

from latent.audio.arriving import SampleFormat
from latent.audio.g711 import TELEPHONE_RATE, Law
from latent.recognition.formats import transcript_lines
from latent.recognition.transcript import Segment, Transcript
from s2s.config import parse_section
from s2s.json_files import parse_object
from unilatent.server.bodies import StreamOptions
from unilatent.server.errors import ApiError
from unilatent.server.live import LiveStream
from unilatent.server.live_jobs import Followed
from unilatent.server.models import RecognitionModel
from unilatent.server.recognition import checked_context
from unilatent.server.service import Service
from unilatent.server.sockets import Socket

_END = "end"
_LAWS: dict[str, Law] = {"g711_ulaw": "mu", "g711_alaw": "a"}


def streaming_router(service: Service) -> APIRouter:
    """The endpoints, for the models of a service."""
    router = APIRouter()

    @router.get("/v1/config")
    async def config(model: str | None = None) -> dict[str, Any]:
        """What a client must know before it streams to a model; without a name, to the only one that is live."""
        found = service.live(model)
        recognizer = found.recognizer
        seconds = round(recognizer.chunk_seconds, 4)
        return {"model": found.name, "sample_rate": recognizer.sample_rate, "chunk_seconds": seconds}

    @router.websocket("/v1/stream")
    async def stream(websocket: WebSocket) -> None:
        """Follow a recording while it is made."""
        socket = Socket(websocket, service)
        async with socket.answering(lambda error: {"error": error.message}):
            options = await _options(socket)
            model = service.live(options.model)
            context = await run_in_threadpool(checked_context, model, options.context_info, "context_info")
            await _converse(socket, LiveStream(model, _format(model, options), context))

    return router


async def _options(socket: Socket) -> StreamOptions:
    message = await socket.receive()
    if isinstance(message, bytes):
        raise ApiError(400, "the first message must be text, a JSON object with the options", "missing_options")
    return parse_section(StreamOptions, parse_object(message, "the options"), "")


def _format(model: RecognitionModel, options: StreamOptions) -> SampleFormat | None:
    if law := _LAWS.get(options.encoding):
        return SampleFormat(options.sample_rate or TELEPHONE_RATE, bits=8, law=law)
    if options.encoding != "wav":
        rate = options.sample_rate or model.recognizer.sample_rate
        is_float = options.encoding == "float32"
        return SampleFormat(rate, 1, 32 if is_float else 16, is_float)
    if options.sample_rate is not None:
        raise ApiError(400, "sample_rate: must be left out, a WAV file knows its own", "invalid_value", "sample_rate")
    return None


async def _converse(socket: Socket, live: LiveStream) -> None:
    """Hear until `end` and answer until all is told; closes the stream."""
    reading = asyncio.create_task(_read(socket, live))
    try:
        texts: list[str] = []
        async for followed in live.followed():
            await socket.send(_message(followed, texts))
            texts += [] if followed.chunk is None else [followed.chunk.text]
    finally:
        live.close()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def _read(socket: Socket, live: LiveStream) -> None:
    """Take audio until the client goes away; what is wrong with it goes to the stream."""
    try:
        while (message := await socket.receive()) != _END:
            if isinstance(message, str):
                raise ApiError(400, f"a text message must be {_END!r}; audio comes as bytes", "invalid_message")
            await live.hear(message)
        live.end()
        await socket.gone()
    except Exception as error:
        live.fail(error)


def _message(followed: Followed, before: Sequence[str]) -> dict[str, Any]:
    """The message about one chunk, which follows chunks with the texts `before`; or the last message, about all."""
    transcript, chunk = followed.transcript, followed.chunk
    segments = [_segment(segment) for segment in transcript.segments]
    if chunk is None:
        return {**_whole(transcript), "text": "".join(before), "total_chunks": len(before), "segments": segments}
    times = {"start": round(chunk.start, 3), "end": round(chunk.end, 3)}
    return {"chunk": len(before), **times, "text": chunk.text, "segments": segments, "warnings": list(chunk.warnings)}


def _whole(transcript: Transcript) -> dict[str, Any]:
    srt = "".join(f"{line}\n" for line in transcript_lines("stream", transcript, "srt"))
    seconds = round(transcript.seconds, 3)
    return {"done": True, "audio_duration": seconds, "srt": srt, "warnings": list(transcript.warnings)}


def _segment(segment: Segment) -> dict[str, Any]:
    speaker = "?" if segment.speaker is None else segment.speaker
    return {"Start": segment.start, "End": segment.end, "Speaker": speaker, "Content": segment.text}
