"""The bodies of requests, checked: what may be in them, and within which limits."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from pydantic import ConfigDict, Field
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from s2s.config import Section, parse_section
from s2s.json_files import parse_object
from unilatent.server.errors import ApiError
from unilatent.server.transcriptions import TranscriptionFormat

B = TypeVar("B", bound="Body")

_MOST_FIELDS = 1000


class Body(Section):
    """The body of a request, a JSON object; unknown fields and values of other types are errors."""

    model_config = ConfigDict(strict=True)

    model: str
    """Name of the model, from /v1/models."""


class _Spoken(Body):
    response_format: Literal["mp3", "opus", "flac", "wav", "pcm"] = "mp3"
    """pcm is samples of 16 bits, little endian, at the rate in the header unilatent-sample-rate."""
    stream_format: Literal["audio", "sse"] = "audio"
    """audio: the file, in pieces while it is made; sse: the same pieces as server-sent events."""
    seed: int = Field(0, ge=0, lt=2**63)
    """The same seed gives the same speech."""
    temperature: float | None = Field(None, ge=0, le=2)
    """Below 1: less variation; the voice's own by default."""


class NamedVoice(Section):
    """A voice as an object."""

    id: str


class SpeechBody(_Spoken):
    """The body of /v1/audio/speech."""

    input: str
    """The text to speak."""
    voice: str | NamedVoice | None = None
    """Who speaks, from /v1/audio/voices; may be left out where there is only one."""
    speed: float = Field(1.0, ge=0.25, le=4)
    """Speed of the speech; 1 is the voice's own."""
    instructions: str = ""
    """Must be empty: no voice here follows instructions."""


class ScriptBody(_Spoken):
    """The body of /v1/audio/script."""

    input: str
    """A script, as `unilatent synthesize --script` reads it."""
    cast: dict[str, str] = Field(default_factory=dict)
    """Voices for names in the script."""
    pause_seconds: float | None = Field(None, ge=0, le=10)
    """Silence after a line, where the script gives no pause."""


class GenerateBody(Body):
    """The body of /v1/generate."""

    input: str | list[str]
    """One text or several."""
    num_hypotheses: int = Field(1, ge=1)
    """Different outputs of each text, best first."""
    prefix: str | None = None
    """What each output must begin with."""
    constraints: list[str] | list[list[str]] = Field(default_factory=list)
    """Phrases that each output must contain, or a list of them for each text; for the decoder `constrained_beam`."""
    decoder: dict[str, Any] = Field(default_factory=dict)
    """Options of the decoder, such as `beam_size`."""


class CompletionBody(Body):
    """The body of /v1/completions, with the fields that a model from text to text can serve."""

    prompt: str | list[str]
    n: int = Field(1, ge=1)
    best_of: int | None = Field(None, ge=1)
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stream: Literal[False] | None = None
    echo: Literal[False] | None = None
    logprobs: None = None
    suffix: None = None
    stop: None = None
    presence_penalty: Literal[0] | None = None
    frequency_penalty: Literal[0] | None = None
    logit_bias: None = None
    user: str | None = None


class CaptionBody(Body):
    """The fields beside `file` in the form of /v1/images/captions."""

    model_config = ConfigDict(strict=False)

    input: str = ""
    """The text that is read with the picture, by models that take one."""
    language: str = ""
    """Of the caption, for models that know several."""
    prefix: str | None = None
    """What each caption must begin with."""
    num_hypotheses: int = Field(1, ge=1)
    """Different captions, best first."""


class TranscriptionBody(Body):
    """The fields beside `file` in the form of /v1/audio/transcriptions."""

    response_format: TranscriptionFormat = "json"
    language: str | None = Field(None, pattern="^[a-z]{2}$")
    """Code of two letters; noted in the transcript by models that find the language themselves."""
    prompt: str = ""
    """Names and terms that may occur, one a line or with commas between them."""
    keywords: list[str] = Field(default_factory=list)
    """The same as a list."""
    temperature: Literal["0", "0.0"] | None = None
    """The search takes the most probable text."""
    timestamp_granularities: list[Literal["segment", "word"]] = Field(["segment"])
    """What has times in verbose_json; words need a server with an aligner."""
    chunking_strategy: Literal["auto"] | None = None
    """Recordings are heard whole."""
    stream: Literal["false"] | None = None


class StreamOptions(Section):
    """The first message of /v1/stream: what a client of VibeVoice-ASR-Streaming sends, and how the audio is written."""

    model_config = ConfigDict(strict=True)

    model: str | None = None
    """Name of the model; may be left out where only one follows streams."""
    context_info: str = ""
    """Names and terms that may occur, with commas between them."""
    encoding: Literal["float32", "pcm16", "g711_ulaw", "g711_alaw", "wav"] = "float32"
    """Mono samples, little endian; or the bytes of a WAV file."""
    sample_rate: int | None = Field(None, ge=1000, le=1_000_000)
    """In Hz, that of the model by default; 8000 by default for G.711."""
    max_tokens: Literal[256] | None = None
    """Of a chunk."""
    temperature: float = Field(0, ge=0, le=0)
    """The most probable text is taken."""
    top_p: float = Field(1, ge=1, le=1)
    repetition_penalty: float = Field(1, ge=1, le=1)


class _RealtimeSection(Section):
    model_config = ConfigDict(strict=True)


class RealtimeFormat(_RealtimeSection):
    """How audio is written."""

    type: Literal["audio/pcm", "audio/pcmu", "audio/pcma"] = "audio/pcm"
    """Mono samples of 16 bits, little endian; or of G.711, in the mu-law or the A-law."""
    rate: int = Field(24_000, ge=1000, le=1_000_000)
    """Of audio/pcm, in Hz; OpenAI has 24000 alone. G.711 has 8000."""


class RealtimeTranscription(_RealtimeSection):
    """What listens, and what it should know."""

    model: str | None = None
    """May be left out where only one follows streams."""
    language: str | None = Field(None, pattern="^[a-z]{2}$")
    """Code of two letters; the models find the language themselves."""
    prompt: str = ""
    """Names and terms that may occur, one a line or with commas between them."""
    keywords: list[str] = Field(default_factory=list)
    """The same as a list."""


class RealtimeTurns(_RealtimeSection):
    """How the server finds turns."""

    type: Literal["server_vad"]
    """By the level of sound above the noise."""
    threshold: float = Field(0.5, ge=0, le=1)
    """How far, of 24 dB, sound must be above the noise."""
    prefix_padding_ms: int = Field(300, ge=0, le=5000)
    """Audio before the first sound that belongs to a turn."""
    silence_duration_ms: int = Field(500, ge=20, le=10_000)
    """Silence that ends a turn."""
    create_response: Literal[False] | None = None
    """Nothing answers in a session of transcription."""
    interrupt_response: Literal[False] | None = None
    idle_timeout_ms: None = None


class RealtimeInput(_RealtimeSection):
    """The audio of a session."""

    format: RealtimeFormat = Field(default_factory=lambda: RealtimeFormat.model_validate({}))
    transcription: RealtimeTranscription = Field(default_factory=lambda: RealtimeTranscription.model_validate({}))
    turn_detection: RealtimeTurns | None = None
    """None: the client commits where an item ends."""
    noise_reduction: None = None


class RealtimeAudio(_RealtimeSection):
    """The audio of a session; there is no output."""

    input: RealtimeInput = RealtimeInput()


class RealtimeSession(_RealtimeSection):
    """The session of /v1/realtime, one of transcription."""

    type: Literal["transcription"] = "transcription"
    audio: RealtimeAudio = RealtimeAudio()
    include: None = None


async def read_upload(cls: type[B], request: Request, kind: str) -> tuple[B, bytes]:
    """The fields of a form, and the content of its file, which should be of some kind ("an audio file").

    Raises:
        ApiError: it is not declared as such a form, cannot be read, or brings no file.
        InputError: a field is wrong.
    """
    _check_type(request, "multipart/form-data")
    try:
        form = await request.form(max_files=1, max_fields=_MOST_FIELDS)
    except HTTPException as error:
        raise ApiError(400, f"the body: {error.detail}", "invalid_form") from error
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise ApiError(400, f"file: must be given, as the content of {kind}", "missing", "file")
        return parse_section(cls, _fields(form), ""), await file.read()
    finally:
        await form.close()


def _fields(form: FormData) -> dict[str, Any]:
    """The fields besides `file`; those whose names end with [] are lists."""
    found: dict[str, Any] = {}
    for name, value in form.multi_items():
        given = value if isinstance(value, str) else "a file"
        if name.endswith("[]"):
            found.setdefault(name.removesuffix("[]"), []).append(given)
        elif name != "file":
            found[name] = given
    return found


def _check_type(request: Request, expected: str) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != expected:
        given = f"found {kind!r}" if kind else "found none"
        message = f"content-type: the header must be {expected}, {given}"
        raise ApiError(415, message, "unsupported_media_type", "content-type")


async def read_body(cls: type[B], request: Request) -> B:
    """The body of a request.

    Raises:
        ApiError: it is not declared as JSON.
        InputError: it is not an object of JSON, or a field is wrong.
    """
    _check_type(request, "application/json")
    content = await request.body()
    if not content.strip():
        raise ApiError(400, "the body is empty; expected a JSON object", "empty_body")
    return parse_section(cls, parse_object(content, "the body"), "")
