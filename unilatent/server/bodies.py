"""The bodies of requests, checked: what may be in them, and within which limits."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from pydantic import ConfigDict, Field
from starlette.requests import Request

from s2s.config import Section, parse_section
from s2s.json_files import parse_object
from unilatent.server.errors import ApiError

B = TypeVar("B", bound="Body")


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


async def read_body(cls: type[B], request: Request) -> B:
    """The body of a request.

    Raises:
        ApiError: it is not declared as JSON.
        InputError: it is not an object of JSON, or a field is wrong.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        given = f"found {kind!r}" if kind else "found none"
        raise ApiError(
            415, f"content-type: the header must be application/json, {given}", "unsupported_media_type", "content-type"
        )
    content = await request.body()
    if not content.strip():
        raise ApiError(400, "the body is empty; expected a JSON object", "empty_body")
    return parse_section(cls, parse_object(content, "the body"), "")
