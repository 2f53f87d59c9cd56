"""The endpoint of captions: /v1/images/captions."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from latent.data.captions import IMAGE, LANGUAGE, SOURCE
from latent.images.files import read_still
from s2s.errors import InputError
from unilatent.server.bodies import CaptionBody, read_upload
from unilatent.server.errors import ApiError
from unilatent.server.models import CaptionModel
from unilatent.server.service import Service
from unilatent.server.text import check_length, generation, several, written


def captions_router(service: Service) -> APIRouter:
    """The endpoint, for the models of a service."""
    router = APIRouter()

    @router.post("/v1/images/captions")
    async def captions(request: Request) -> dict[str, Any]:
        """Write about a picture; it has its best captions with their scores."""
        body, content = await read_upload(CaptionBody, request, "a picture")
        model = service.captions(body.model)
        text = _text(model, body)
        with tempfile.TemporaryDirectory() as folder:
            picture = await run_in_threadpool(_stored, Path(folder, "file"), content)
            record = {IMAGE: str(picture), **text}
            found = await written(model, request, [record], body.prefix, several(body.num_hypotheses, {}))
        return generation(request, body.model, found)

    return router


def _text(model: CaptionModel, body: CaptionBody) -> dict[str, str]:
    """The fields of the record beside the picture."""
    for text in (body.input, body.prefix or ""):
        check_length(model.limits, text)
    if model.reads_text != bool(body.input.strip()):
        wanted = "must be given, it reads a text with each picture" if model.reads_text else "must be left out"
        raise ApiError(400, f"input: {wanted} ({model.name!r})", "invalid_value", "input")
    if model.languages and body.language not in model.languages:
        found = repr(body.language) if body.language else "nothing"
        message = f"language: must be one of {', '.join(model.languages)}, found {found}"
        raise ApiError(400, message, "invalid_value", "language")
    return {name: given for name, given in ((SOURCE, body.input), (LANGUAGE, body.language)) if given}


def _stored(path: Path, content: bytes) -> Path:
    """The content as a file that the model can read; ApiError if it is no picture."""
    path.write_bytes(content)
    try:
        read_still(path)
    except InputError as error:
        raise ApiError(400, str(error).replace(str(path), path.name), "invalid_value", "file") from error
    return path
