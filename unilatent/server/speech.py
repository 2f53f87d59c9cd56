"""The endpoints of speech: /v1/audio/voices, /v1/audio/speech, /v1/audio/script."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from latent.data.speech_prompts import derived_seed
from latent.longform.cast import Role, find_roles
from latent.longform.narrator import LongFormOptions, Narrator
from latent.longform.script import script_lines
from latent.synthesis.voice import Take, Turn
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
_PAUSE_SECONDS = 0.4  # between the pieces of a long text, as in scripts
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
        return await _answer(service, model, body, lambda: _takes_of_text(model, body))

    @router.post("/v1/audio/script")
    async def script(request: Request) -> Response:
        """Speak a script of several speakers."""
        body = await read_body(ScriptBody, request)
        model = service.speech(body.model)
        return await _answer(service, model, body, lambda: _takes_of_script(model, body))

    return router


async def _answer(
    service: Service, model: SpeechModel, body: SpeechBody | ScriptBody, plan: Callable[[], Sequence[Take]]
) -> Response:
    limits, voice = service.limits, model.voice
    answer = model.worker.answer()
    try:
        takes = await run_in_threadpool(plan)
        seconds = sum(voice.expected_seconds(take.request) + take.pause for take in takes)
        if seconds > limits.audio_seconds:
            most = f"at most {limits.audio_seconds:g} seconds of audio"
            raise ApiError(400, f"input: would last about {seconds:.0f} seconds; expected {most}", "too_long", "input")
        encoder = open_encoder(body.response_format, voice.sample_rate, voice.tags(body.seed))
        model.worker.submit(SpeechJob(voice, takes, answer, limits.max_rows, model.metrics))
    except BaseException:
        answer.close()
        raise
    events, headers = body.stream_format == "sse", _headers(model, body.seed, takes)
    return SpokenResponse(answer, encoder, body.response_format, events, headers, limits.stall_seconds, service.metrics)


def _takes_of_text(model: SpeechModel, body: SpeechBody) -> list[Take]:
    """A text in the pieces that the voice says well; the first has the seed of the request."""
    _check_length(body.input, model.limits.characters)
    if body.instructions.strip():
        raise ApiError(400, "instructions: must be empty, this voice follows none", "unsupported", "instructions")
    if body.speed != 1:
        raise ApiError(400, f"speed: must be 1, this voice has no other; found {body.speed:g}", "unsupported", "speed")
    voice, role = model.voice, _role(model, body.voice)
    if not body.input.strip():
        raise ApiError(400, "input: is empty; expected something to say", "empty", "input")
    pieces = split_text(body.input, lambda text: voice.fits(text, None))
    turns = [
        Turn("input", part, "Speaker 1", text, role.speaker, role.prompt, _seed(body.seed, part), None)
        for part, text in enumerate(pieces)
    ]
    takes = list(voice.takes(turns, _PAUSE_SECONDS, body.temperature))
    if not takes:
        raise ApiError(400, "input: the voice has nothing to say in it; expected words", "nothing_to_say", "input")
    return [*takes[:-1], replace(takes[-1], pause=0.0)]


def _takes_of_script(model: SpeechModel, body: ScriptBody) -> list[Take]:
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
    return Narrator(voice, roles, options).plan(lines)


def _role(model: SpeechModel, voice: str | NamedVoice | None) -> Role:
    return model.role(voice.id if isinstance(voice, NamedVoice) else voice)


def _seed(seed: int, part: int) -> int:
    return derived_seed(seed, part) if part else seed


def _check_length(text: str, most: int) -> None:
    if len(text) > most:
        message = f"input: must have at most {most:,} characters, found {len(text):,}"
        raise ApiError(400, message, "string_above_max_length", "input")


def _headers(model: SpeechModel, seed: int, takes: Sequence[Take]) -> dict[str, str]:
    """What an answer says about itself; lists are percent-encoded words with commas between them."""
    spelled = dict.fromkeys(word for take in takes for word in take.request.spelled)
    dropped = dict.fromkeys(sign for take in takes for sign in take.request.dropped)
    headers = {
        "unilatent-sample-rate": str(model.voice.sample_rate),
        "unilatent-provenance": quote(model.voice.tags(seed)["comment"], safe=" ,.():;-"),
        "unilatent-respelled": ",".join(quote(word, safe="") for word in [*spelled][:_MOST_LISTED]),
        "unilatent-left-out": ",".join(quote(sign, safe="") for sign in [*dropped][:_MOST_LISTED]),
    }
    return {name: value for name, value in headers.items() if value}
