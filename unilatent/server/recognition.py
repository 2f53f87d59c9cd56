"""The endpoint of recognition: /v1/audio/transcriptions."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from latent.audio.files import AudioBytes
from latent.audio.recording import Recording
from latent.data.recognition_prompt import hot_words
from latent.recognition.recognizer import RecognitionRequest
from latent.recognition.transcript import Transcript
from s2s.errors import InputError
from unilatent.server.answers import watched
from unilatent.server.bodies import TranscriptionBody, read_upload
from unilatent.server.errors import ApiError
from unilatent.server.models import RecognitionModel
from unilatent.server.recognition_jobs import FollowedRecordingJob, RecognitionJob
from unilatent.server.service import Service
from unilatent.server.transcriptions import transcription


def recognition_router(service: Service) -> APIRouter:
    """The endpoint, for the models of a service."""
    router = APIRouter()

    @router.post("/v1/audio/transcriptions")
    async def transcriptions(request: Request) -> Response:
        """Write down what is said in a recording, as OpenAI's endpoint does."""
        body, content = await read_upload(TranscriptionBody, request, "an audio file")
        model = service.recognition(body.model)
        _check_words(service, body)
        async with watched(model.worker.answer(), request.receive) as answer:
            asked = await run_in_threadpool(_request, model, body, AudioBytes("file", content))
            rows = service.limits.max_rows
            job = FollowedRecordingJob if model.is_live else RecognitionJob
            model.worker.submit(job(model.recognizer, asked, answer, rows, model.metrics))
            transcript: Transcript = await answer.next()
            if "word" in body.timestamp_granularities:
                transcript = await service.with_words(transcript, asked.recording)
        return transcription(transcript, body.response_format, body.timestamp_granularities)

    return router


def _check_words(service: Service, body: TranscriptionBody) -> None:
    """Raise ApiError if times of words are asked for and cannot be given."""
    if "word" not in body.timestamp_granularities:
        return
    param = "timestamp_granularities"
    if body.response_format != "verbose_json":
        found = f"found {body.response_format!r}"
        raise ApiError(400, f"{param}: 'word' needs response_format verbose_json, {found}", "invalid_value", param)
    if service.word_aligner is None:
        advice = "start it with `unilatent serve --words`"
        raise ApiError(400, f"{param}: this server finds no times of words; {advice}", "invalid_value", param)


def _request(model: RecognitionModel, body: TranscriptionBody, audio: AudioBytes) -> RecognitionRequest:
    """What is to be heard, checked before it waits."""
    recognizer = model.recognizer
    param = "prompt" if body.prompt.strip() else "keywords"
    context = checked_context(model, "\n".join([body.prompt, *body.keywords]), param)
    request = recognizer.request("file", Recording(audio), context, body.language)
    if request.seconds > recognizer.max_seconds:
        most = f"expected at most {recognizer.max_seconds:.1f}"
        raise ApiError(400, f"file: lasts {request.seconds:.1f} seconds; {most}; cut it in silence", "too_long", "file")
    return request


def checked_context(model: RecognitionModel, words: str, param: str) -> str:
    """Names and terms, one a line or with commas between them, as the model takes them.

    Raises:
        ApiError: the model cannot take them; it is about `param`.
    """
    most = model.limits.source_characters
    context = hot_words(words.splitlines())
    if len(context) > most:
        message = f"{param}: must have at most {most:,} characters, found {len(context):,}"
        raise ApiError(400, message, "string_above_max_length", param)
    try:
        model.recognizer.check_context(context)
    except InputError as error:
        said = str(error).removeprefix("--hotwords: ").replace("--hotwords", "it")
        raise ApiError(400, f"{param}: {said}", "invalid_value", param) from error
    return context
