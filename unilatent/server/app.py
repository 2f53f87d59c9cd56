"""The application: endpoints, errors, page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from s2s.errors import InputError
from unilatent.server.captions import captions_router
from unilatent.server.errors import ApiError, ClientGone, api_error, unreadable
from unilatent.server.gate import Gate
from unilatent.server.models import RecognitionModel, ServedModel, SpeechModel
from unilatent.server.realtime import realtime_router
from unilatent.server.recognition import recognition_router
from unilatent.server.service import Service
from unilatent.server.speech import speech_router
from unilatent.server.streaming import streaming_router
from unilatent.server.text import text_router

PAGE = Path(__file__).parents[1] / "page"
_EXPOSED = [
    "unilatent-sample-rate",
    "unilatent-provenance",
    "unilatent-respelled",
    "unilatent-guessed",
    "unilatent-left-out",
]


def build_app(
    service: Service, api_key: str | None = None, hosts: Collection[str] = (), origins: Sequence[str] = ()
) -> ASGIApp:
    """The ASGI application of a service.

    Args:
        service: The models.
        api_key: The key that requests must bring, if any.
        hosts: Names by which a request may call the server; any if empty.
        origins: Origins of other pages whose scripts may use the server.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPI(title="unilatent", version=version("unilatent"), docs_url=None, redoc_url=None, lifespan=lifespan)
    app.include_router(speech_router(service))
    app.include_router(text_router(service))
    app.include_router(captions_router(service))
    app.include_router(recognition_router(service))
    app.include_router(streaming_router(service))
    app.include_router(realtime_router(service))
    _add_overview(app, service)
    for kind, handler in _handlers(service).items():
        app.add_exception_handler(kind, handler)
    app.router.routes.extend(_page())
    gate = Gate(app, service.limits, service.metrics, api_key, hosts, origins)
    if not origins:
        return gate
    return CORSMiddleware(
        gate,
        allow_origins=list(origins),
        allow_methods=["GET", "POST"],
        allow_headers=["authorization", "content-type"],
        expose_headers=_EXPOSED,
    )


def _page() -> Iterator[Route]:
    """A route for each file of the page, so that any other path is an error of its own."""

    def sender(path: Path) -> Callable[[Request], Response]:
        return lambda _: FileResponse(path)

    for path in sorted(path for path in PAGE.rglob("*") if path.is_file()):
        name = path.relative_to(PAGE).as_posix()
        for place in [f"/{name}", *(["/"] if name == "index.html" else [])]:
            yield Route(place, sender(path))


def _add_overview(app: FastAPI, service: Service) -> None:
    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        """The models, as OpenAI lists them; `kind` is text, captions, speech or recognition."""
        return {"object": "list", "data": [_shown(model) for model in service.models.values()]}

    @app.get("/v1/models/{name:path}")
    async def model(name: str) -> dict[str, Any]:
        """One model."""
        return _shown(service.model(name))

    @app.get("/health")
    async def health() -> Response:
        """Whether all models work; 503 if one does not, or the server is stopping."""
        states = {name: "ok" if model.worker.alive else "dead" for name, model in service.models.items()}
        well = not service.stopping and all(state == "ok" for state in states.values())
        status = "ok" if well else "stopping" if service.stopping else "failing"
        return JSONResponse({"status": status, "models": states}, 200 if well else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")


def _shown(model: ServedModel) -> dict[str, Any]:
    shown = {"id": model.name, "object": "model", "created": model.created, "owned_by": "unilatent", "kind": model.kind}
    if isinstance(model, SpeechModel):
        return {**shown, "sample_rate": model.voice.sample_rate}
    if isinstance(model, RecognitionModel):
        return {**shown, "max_seconds": model.recognizer.max_seconds, "live": model.is_live}
    return shown


def _handlers(service: Service) -> dict[Any, Callable[[Request, Any], Any]]:
    def answer(error: ApiError) -> Response:
        return JSONResponse(error.content, error.status, error.headers)

    async def failed(request: Request, error: Exception) -> Response:
        return answer(api_error(error, service.names, request.state.request_id))

    async def refused(_: Request, error: HTTPException) -> Response:
        known = unreadable(error.status_code)
        return answer(ApiError(known.status, known.message, known.code, None, error.headers))

    async def gone(_: Request, __: Exception) -> Response:
        return Response(status_code=499)

    return {ClientGone: gone, HTTPException: refused, ApiError: failed, InputError: failed, Exception: failed}
