"""The endpoints of speech: /v1/audio/voices, /v1/audio/speech, /v1/audio/script."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from latent.longform.cast import find_roles
from latent.longform.narrator import LongFormOptions, Narrator
from latent.longform.script import FIRST_SPEAKER, ScriptLine, script_lines
from latent.synthesis.takes import Take
from latent.text.labels import same_speaker
from latent.text.splitting import split_text
from s2s.errors import InputError
from unilatent.server.audio_formats import open_encoder
from unilatent.server.bodies import NamedVoice, ScriptBody, SpeechBody, read_body
from unilatent.server.errors import ApiError
from unilatent.server.models import SpeechModel
from unilatent.server.service import Service
from unilatent.server.speech_jobs import SpeechJob
from unilatent.server.spoken import SpokenResponse

_OF_COMMAND_LINE = re.compile(r'--cast ".*?"')
_MOST_LISTED = 50


def speech_router(service: Service) -> APIRouter:
    """The endpoints, for the models of a service."""
    router = APIRouter()

    @router.get("/v1/audio/voices")
    async def voices(model: str | None = None) -> dict[str, object]:
        """The voices of a model, or of all."""
        chosen = service.speech_models() if model is None else [service.speech(model)]
        data = [{"id": name, "object": "voice", "model": one.name} for one in chosen for name in one.roles]
        return {"object": "list", "data": data}

    @router.post("/v1/audio/speech")
    async def speech(request: Request) -> Response:
        """Speak a text, as OpenAI's endpoint does."""
        body = await read_body(SpeechBody, request)
        model = service.speech(body.model)
        return await _answer(service, model, body, lambda: _of_text(model, body))

    @router.post("/v1/audio/script")
    async def script(request: Request) -> Response:
        """Speak a script of several speakers."""
        body = await read_body(ScriptBody, request)
        model = service.speech(body.model)
        return await _answer(service, model, body, lambda: _of_script(model, body))

    return router


Plan = tuple[Narrator, list[Take]]
"""Who speaks, and in which takes."""


async def _answer(
    service: Service, model: SpeechModel, body: SpeechBody | ScriptBody, plan: Callable[[], Plan]
) -> Response:
    limits, voice = service.limits, model.voice
    answer = model.worker.answer()
    try:
        narrator, takes = await run_in_threadpool(plan)
        seconds = sum(voice.expected_seconds(take.request) + take.pause for take in takes)
        if seconds > limits.audio_seconds:
            most = f"at most {limits.audio_seconds:g} seconds of audio"
            raise ApiError(400, f"input: would last about {seconds:.0f} seconds; expected {most}", "too_long", "input")
        encoder = open_encoder(body.response_format, voice.sample_rate, voice.tags(body.seed))
        model.worker.submit(SpeechJob(narrator, takes, answer, limits.max_rows, model.metrics))
    except BaseException:
        answer.close()
        raise
    events, headers = body.stream_format == "sse", _headers(model, body.seed, takes)
    return SpokenResponse(answer, encoder, body.response_format, events, headers, limits.stall_seconds, service.metrics)


def _of_text(model: SpeechModel, body: SpeechBody) -> Plan:
    """A text in the pieces that the voice says well; the first has the seed of the request."""
    _check_length(body.input, model.limits.characters)
    if body.instructions.strip():
        raise ApiError(400, "instructions: must be empty, this voice follows none", "unsupported", "instructions")
    if not body.input.strip():
        raise ApiError(400, "input: is empty; expected something to say", "empty", "input")
    voice, role = model.voice, model.role(body.voice.id if isinstance(body.voice, NamedVoice) else body.voice)
    pieces = split_text(body.input, lambda text: voice.fits(text, None))
    lines = [ScriptLine("input", FIRST_SPEAKER, text, part, seed=body.seed) for part, text in enumerate(pieces)]
    options = LongFormOptions.model_validate({"temperature": body.temperature})
    narrator = Narrator(voice, {same_speaker(FIRST_SPEAKER): role}, options)
    takes = [replace(take, request=voice.paced(take.request, body.speed)) for take in narrator.plan(lines)]
    return narrator, [*takes[:-1], replace(takes[-1], pause=0.0)]


def _of_script(model: SpeechModel, body: ScriptBody) -> Plan:
    _check_length(body.input, model.limits.source_characters)
    voice, given = model.voice, {"seed": body.seed, "temperature": body.temperature}
    if body.pause_seconds is not None:
        given["pause_seconds"] = body.pause_seconds
    options = LongFormOptions.model_validate(given)
    cast = {name: model.role(voice_name) for name, voice_name in body.cast.items()}
    content, names = body.input.encode(errors="surrogatepass"), [*cast, *voice.speakers]
    lines = script_lines(content, "input", lambda text: voice.fits(text, options.max_characters), names)
    try:
        roles = find_roles("the script", lines, cast, voice.speakers, voice.names_speakers)
    except InputError as error:
        raise InputError(_OF_COMMAND_LINE.sub("a voice in `cast`", str(error)).replace("--cast ", "cast: ")) from error
    narrator = Narrator(voice, roles, options)
    return narrator, narrator.plan(lines)


def _check_length(text: str, most: int) -> None:
    if len(text) > most:
        message = f"input: must have at most {most:,} characters, found {len(text):,}"
        raise ApiError(400, message, "string_above_max_length", "input")


def _headers(model: SpeechModel, seed: int, takes: Sequence[Take]) -> dict[str, str]:
    """What an answer says about itself; lists are percent-encoded words with commas between them."""
    spelled = dict.fromkeys(word for take in takes for word in take.request.spelled)
    guessed = {word: said for take in takes for word, said in take.request.guessed.items()}
    dropped = dict.fromkeys(sign for take in takes for sign in take.request.dropped)
    headers = {
        "unilatent-sample-rate": str(model.voice.sample_rate),
        "unilatent-provenance": quote(model.voice.tags(seed)["comment"], safe=" ,.():;-"),
        "unilatent-respelled": ",".join(quote(word, safe="") for word in [*spelled][:_MOST_LISTED]),
        "unilatent-guessed": ",".join(
            quote(f"{word}={said}", safe="=") for word, said in [*guessed.items()][:_MOST_LISTED]
        ),
        "unilatent-left-out": ",".join(quote(sign, safe="") for sign in [*dropped][:_MOST_LISTED]),
    }
    return {name: value for name, value in headers.items() if value}
