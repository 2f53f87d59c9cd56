"""The endpoints of text: /v1/generate and /v1/completions."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from s2s.data.phrases import FIELD
from s2s.decoding.beam import BeamSearch
from s2s.generation.session import Text
from s2s.registry import DECODERS
from unilatent.server.answers import watched
from unilatent.server.bodies import CompletionBody, GenerateBody, read_body
from unilatent.server.errors import ApiError
from unilatent.server.limits import Limits
from unilatent.server.models import TextModel, WritingModel
from unilatent.server.service import Service
from unilatent.server.text_jobs import TextJob

Hypotheses = list[tuple[str, float]]


def text_router(service: Service) -> APIRouter:
    """The endpoints, for the models of a service."""
    router = APIRouter()

    @router.post("/v1/generate")
    async def generate(request: Request) -> dict[str, Any]:
        """Generate from one text or several; each has its best outputs with their scores."""
        body = await read_body(GenerateBody, request)
        options = {**body.decoder, **several(body.num_hypotheses, body.decoder)}
        found = await _generate(service, request, body.model, body.input, body.prefix, options, body.constraints)
        return generation(request, body.model, found)

    @router.post("/v1/completions")
    async def completions(request: Request) -> dict[str, Any]:
        """The outputs of a model that turns one text into another, in the shape of completions."""
        body = await read_body(CompletionBody, request)
        options = _completion_options(body)
        found = await _generate(service, request, body.model, body.prompt, None, options)
        texts = [text for hypotheses in found for text, _ in _padded(hypotheses, body.n)]
        choices = [
            {"index": index, "text": text, "logprobs": None, "finish_reason": "stop"}
            for index, text in enumerate(texts)
        ]
        return {
            "id": f"cmpl-{_id(request)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": body.model,
            "choices": choices,
            "usage": None,
        }

    return router


async def _generate(
    service: Service,
    request: Request,
    name: str,
    given: str | list[str],
    prefix: str | None,
    options: dict[str, Any],
    constraints: list[str] | list[list[str]] | None = None,
) -> list[Hypotheses]:
    model, texts = service.text(name), [given] if isinstance(given, str) else given
    _check(model.limits, texts, prefix)
    return await written(model, request, _records(model, texts, constraints or []), prefix, options)


async def written(
    model: WritingModel, request: Request, records: list[Text], prefix: str | None, options: dict[str, Any]
) -> list[Hypotheses]:
    """What a model writes for each of some texts or records.

    Raises:
        ApiError: an option goes beyond the limits, or the model takes no more requests.
        InputError: the decoder has no such option, or a record is wrong.
    """
    _check_sizes(model.limits, options)
    async with watched(model.worker.answer(), request.receive) as answer:
        await run_in_threadpool(_check_options, model, options)
        model.worker.submit(TextJob(model.generator, records, prefix, options, answer, model.limits.max_rows))
        found: list[Hypotheses] = await answer.next()
        return found


def generation(request: Request, name: str, found: list[Hypotheses]) -> dict[str, Any]:
    """The answer: for each text its best output, and all."""
    outputs = [
        {
            "text": hypotheses[0][0],
            "score": hypotheses[0][1],
            "nbest": [{"text": text, "score": score} for text, score in hypotheses],
        }
        for hypotheses in found
    ]
    return {"id": f"gen-{_id(request)}", "object": "generation", "model": name, "outputs": outputs}


def _check(limits: Limits, texts: list[str], prefix: str | None) -> None:
    if not 1 <= len(texts) <= limits.texts:
        raise ApiError(400, f"input: must be 1 to {limits.texts} texts, found {len(texts)}", "invalid_value", "input")
    for number, text in enumerate([*texts, prefix or ""], start=1):
        check_length(limits, text, f"text {number}")
    if empty := [number for number, text in enumerate(texts, start=1) if not text.strip()]:
        raise ApiError(400, f"input: text {empty[0]} is empty", "empty", "input")


def check_length(limits: Limits, text: str, what: str = "it") -> None:
    """Raise ApiError if a text is longer than may be read."""
    if len(text) > limits.source_characters:
        message = f"input: {what} must have at most {limits.source_characters:,} characters, found {len(text):,}"
        raise ApiError(400, message, "string_above_max_length", "input")


def _check_sizes(limits: Limits, options: dict[str, Any]) -> None:
    most = {"max_length": limits.new_tokens, "min_length": limits.new_tokens}
    for key, value in options.items():
        size = most.get(key, limits.hypotheses) if key.startswith(("max_", "min_", "num_", "beam_")) else None
        if size is not None and isinstance(value, int) and value > size:
            message = f"decoder.{key}: must be at most {size} here, found {value}"
            raise ApiError(400, message, "invalid_value", f"decoder.{key}")


def _records(model: TextModel, texts: list[str], constraints: list[str] | list[list[str]]) -> list[Text]:
    """The texts as the model's task reads them, with the phrases that are asked of their outputs."""
    if not constraints:
        return list(texts)
    each = constraints if isinstance(constraints[0], list) else [constraints] * len(texts)
    if len(each) != len(texts):
        message = f"constraints: must be a list of phrases, or one for each of {len(texts)} texts, found {len(each)}"
        raise ApiError(400, message, "invalid_value", "constraints")
    most = model.limits.source_characters
    if any(sum(map(len, phrases)) > most for phrases in each):
        message = f"constraints: the phrases of a text must have at most {most:,} characters"
        raise ApiError(400, message, "string_above_max_length", "constraints")
    record = model.generator.task.record
    return [{**record(text), FIELD: phrases} for text, phrases in zip(texts, each, strict=True)]


def _check_options(model: WritingModel, options: dict[str, Any]) -> None:
    """Raise InputError for options that the decoder does not have, before they wait."""
    model.generator.with_options(**options)


def several(count: int, decoder: dict[str, Any]) -> dict[str, Any]:
    """Options for `count` outputs: the beam is at least as large."""
    if count == 1:
        return {}
    cls: Any = DECODERS[decoder["name"]] if "name" in decoder else BeamSearch
    has_beam = "beam_size" in cls.Config.model_fields and "beam_size" not in decoder
    return {"num_hypotheses": count, **({"beam_size": max(count, 5)} if has_beam else {})}


def _completion_options(body: CompletionBody) -> dict[str, Any]:
    options: dict[str, Any] = {} if body.max_tokens is None else {"max_length": body.max_tokens}
    sampled = {"temperature": body.temperature, "top_p": body.top_p, "seed": body.seed}
    asked = {key: value for key, value in sampled.items() if value is not None}
    if body.temperature or (body.temperature is None and body.top_p not in (None, 1)):
        return {**options, "name": "sampling", **asked, "num_hypotheses": body.n}
    return {**options, **several(body.n, {} if body.best_of is None else {"beam_size": max(body.best_of, body.n)})}


def _padded(hypotheses: Hypotheses, count: int) -> Hypotheses:
    """Exactly `count` of them: a search may find fewer that differ."""
    return [*hypotheses, *[hypotheses[-1]] * (count - len(hypotheses))][:count]


def _id(request: Request) -> str:
    return str(request.state.request_id)
