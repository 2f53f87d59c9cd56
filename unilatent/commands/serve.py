"""The verb serve: models behind HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from unilatent.commands.precision import NoTuning, SpeechPrecision
from unilatent.commands.text import TrustImports


def serve(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL",
            help="Run folders (text, captions, voice or recognizer), shipped names (`summarizer`, `demo`), released "
            "VibeVoice weights, or USER/NAME on the hub. NAME=MODEL chooses the name in requests.",
        ),
    ],
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 is reached from other machines.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0 chooses a free one.")] = 8000,
    api_key: Annotated[
        str | None,
        typer.Option(
            envvar="UNILATENT_API_KEY",
            show_envvar=True,
            help="Key that requests must bring as `Authorization: Bearer KEY`. Others can read a command line.",
        ),
    ] = None,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(
            help="Origin of another page that may use the server, such as https://example.org; repeat for more."
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Name by which a proxy calls this server; repeat for more."),
    ] = None,
    voice: Annotated[
        list[str] | None,
        typer.Option(
            help="A voice from a recording, NAME=RECORDING, for models that take one (VibeVoice-Realtime: a preset); "
            "repeat for more."
        ),
    ] = None,
    consent: Annotated[
        bool,
        typer.Option("--i-have-consent", help="The people in the recordings agreed. Noted beside each recording."),
    ] = False,
    words: Annotated[
        str | None,
        typer.Option(
            metavar="pocketsphinx|FOLDER",
            help="Tell recognizers' clients when each word is said, as `unilatent transcribe --words` does.",
        ),
    ] = None,
    queue: Annotated[int, typer.Option(min=1, max=10_000, help="Requests that may wait for one model.")] = 32,
    max_rows: Annotated[int, typer.Option(min=1, max=1024, help="Texts that one model works on at once.")] = 16,
    max_streams: Annotated[
        int, typer.Option(min=1, max=1024, help="Recordings that one model follows at once while they are made.")
    ] = 8,
    max_characters: Annotated[int, typer.Option(min=1, help="Maximum characters of a text to speak.")] = 4096,
    max_audio_seconds: Annotated[float, typer.Option(min=1, help="Maximum seconds of a spoken answer.")] = 600,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that a request may wait for its answer.")] = 300,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    precision: SpeechPrecision = None,
    no_tuning: NoTuning = False,
    trust_imports: TrustImports = False,
) -> None:
    """Serve models to the OpenAI client, to curl and to a page in the browser.

    Endpoints: /v1/audio/speech, /v1/audio/script, /v1/audio/voices, /v1/audio/transcriptions, /v1/generate,
    /v1/completions, /v1/stream, /v1/realtime, /v1/models, /health and /metrics; the page is at /. Ctrl-C or SIGTERM
    stops the server when the answers under way are finished.
    """
    from s2s.errors import InputError
    from s2s.packages import load

    for module in ("fastapi", "uvicorn", "prometheus_client", "python_multipart"):
        load(module, "serve")
    from data_prep.aligners.spoken_words import open_word_aligner
    from unilatent.server.limits import Limits
    from unilatent.server.metrics import Metrics
    from unilatent.server.models import open_model
    from unilatent.server.run import LOOPBACK, bind, is_loopback, make_server
    from unilatent.server.service import Service

    if api_key is not None and not (api_key.isascii() and api_key.isprintable() and api_key.strip() == api_key != ""):
        raise InputError("--api-key (UNILATENT_API_KEY): must be printable ASCII, without blanks around it")
    named, recordings = _named(models), _recordings(voice or [])
    aligner = None if words is None else open_word_aligner(words)
    listener = bind(host, port)
    limits = Limits(
        queue, max_rows, max_characters, audio_seconds=max_audio_seconds, streams=max_streams, request_seconds=timeout
    )
    metrics = Metrics()
    weights: Any = None if precision is None else precision.value
    opened = [
        open_model(name, folder, device, recordings, consent, limits, metrics, weights)
        for name, folder in named.items()
    ]
    service = Service(opened, limits, metrics, aligner)
    if service.is_live:
        load("websockets", "serve")
    hosts = [*LOOPBACK, host, *(allow_host or [])] if is_loopback(host) else []
    server = make_server(service, api_key, hosts, cors_origin or [])
    address = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
    for model in opened:
        typer.echo(f"{model.name}: {model.kind}", err=True)
    if not is_loopback(host) and api_key is None:
        typer.echo("note: other machines can use this server, and no --api-key is asked for", err=True)
    typer.echo(f"listening at {address}; Ctrl-C stops", err=True)
    server.run(sockets=[listener])


def _named(models: list[str]) -> dict[str, str]:
    """What to load, by its name in requests: the name given, else that of the folder."""
    from s2s.errors import InputError

    named: dict[str, str] = {}
    for given in models:
        name, equals, folder = given.partition("=")
        if not equals or Path(given).exists():
            name, folder = Path(given).resolve().name if Path(given).exists() else given, given
        if not name or not folder:
            raise InputError(f"{given!r}: must be MODEL or NAME=MODEL")
        if name in named:
            raise InputError(f"{given}: another model is called {name!r} too; give NAME={folder}")
        named[name] = folder
    return named


def _recordings(given: list[str]) -> dict[str, Path]:
    """The recordings by the names of their voices."""
    from s2s.errors import InputError

    recordings: dict[str, Path] = {}
    for item in given:
        name, equals, path = (part.strip() for part in item.partition("="))
        if not (name and equals and path):
            raise InputError(f"--voice {item!r}: must be NAME=RECORDING")
        if name in recordings:
            raise InputError(f"--voice {item}: there is another voice called {name!r}")
        recordings[name] = Path(path)
    return recordings
