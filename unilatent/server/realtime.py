"""Live transcription as OpenAI's Realtime API has it: the WebSocket /v1/realtime, for sessions of transcription.

An item is the speech between two commits, or a turn that the server finds (`turn_detection`). The model does not wait
for the end of a turn: text comes in deltas while audio arrives.

Source: the events of OpenAI's Realtime API reference, for its clients.
"""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, WebSocket
from starlette.concurrency import run_in_threadpool

from latent.audio.files import Samples
from latent.audio.turns import TurnPiece
from latent.recognition.chunk_texts import unmarked
from latent.recognition.transcript import Segment, Transcript
from s2s.config import parse_section
from s2s.errors import InputError
from s2s.json_files import parse_object
from s2s.registry import nearest
from unilatent.server.bodies import RealtimeSession
from unilatent.server.errors import ApiError, ClientGone
from unilatent.server.live import LiveStream
from unilatent.server.live_jobs import Followed
from unilatent.server.recognition import checked_context
from unilatent.server.service import Service
from unilatent.server.sockets import Socket
from unilatent.server.turns import Turns

_BUFFER, _TOLD = "input_audio_buffer", "conversation.item.input_audio_transcription"


def realtime_router(service: Service) -> APIRouter:
    """The endpoint, for the models of a service."""
    router = APIRouter()

    @router.websocket("/v1/realtime")
    async def realtime(websocket: WebSocket, model: str | None = None) -> None:
        """Transcribe what a client of OpenAI's Realtime API says."""
        socket = Socket(websocket, service)
        async with socket.answering(lambda error: _event("error", **error.content)):
            await _Conversation(socket, service, model).run()

    return router


@dataclass
class _Item:
    """The speech between two commits, and how many of its segments were sent to the client."""

    stream: LiveStream
    id: str = field(default_factory=lambda: _name("item"))
    told: int = 0


class _Conversation:
    """One connection: events are taken in order, while the texts of its items are told."""

    def __init__(self, socket: Socket, service: Service, model: str | None) -> None:
        self._socket, self._service = socket, service
        self._id, self._settings = _name("sess"), {"audio": {"input": {"transcription": {"model": model}}}}
        self._session = parse_section(RealtimeSession, self._settings, "session")
        self._item: _Item | None = None
        self._turns, self._seconds = Turns(self._session.audio.input, 0.0), 0.0
        self._last_id: str | None = None
        self._items: asyncio.Queue[_Item | None] = asyncio.Queue()
        self._open: list[_Item] = []
        self._takers: dict[str, Callable[[dict[str, Any]], Awaitable[None]]] = {
            "session.update": self._update,
            f"{_BUFFER}.append": self._append,
            f"{_BUFFER}.commit": self._commit,
            f"{_BUFFER}.clear": self._clear,
        }

    async def run(self) -> None:
        """Answer until the client goes away."""
        if (model := self._session.audio.input.transcription.model) is not None:
            self._service.live(model)
        await self._tell("session.created", session=self._shown())
        telling = asyncio.create_task(self._tell_items())
        try:
            while True:
                await self._take(await self._socket.receive(self._is_waited_for))
        finally:
            self._items.put_nowait(None)
            for item in self._open:
                item.stream.close()
            await asyncio.gather(telling, return_exceptions=True)

    async def _take(self, message: str | bytes) -> None:
        """Do what an event asks for; what is wrong with it is told, and the conversation goes on."""
        event: dict[str, Any] = {}
        try:
            if isinstance(message, bytes):
                raise ApiError(400, "an event must be text, a JSON object", "invalid_event")
            event = parse_object(message, "the event")
            kind = str(event.pop("type", ""))
            if kind not in self._takers:
                raise ApiError(
                    400, f"type: no such event {kind!r}{nearest(kind, self._takers)}", "invalid_event", "type"
                )
            await self._takers[kind](event)
        except ClientGone:
            raise
        except Exception as error:
            problem = self._socket.problem(error).content["error"]
            await self._tell("error", error={**problem, "event_id": event.get("event_id")})

    async def _update(self, event: dict[str, Any]) -> None:
        settings = _merged(self._settings, event.get("session"))
        session = parse_section(RealtimeSession, settings, "session")
        asked = session.audio.input.transcription
        if asked.model is not None:
            self._service.live(asked.model)
        self._settings, self._session = settings, session
        await self._tell("session.updated", session=self._shown())

    async def _append(self, event: dict[str, Any]) -> None:
        content, input = _decoded(event.get("audio")), self._session.audio.input
        if self._item is None and not self._turns.follow(input):
            self._turns = Turns(input, self._seconds)
        self._seconds += len(content) / self._turns.format.bytes_per_second
        if not self._turns.are_found:
            await self._hear(self._item or await self._begin(), content)
            return
        for piece in self._turns.push(content):
            await self._hear_piece(self._item or await self._begin(), piece)

    async def _hear_piece(self, item: _Item, piece: TurnPiece) -> None:
        """Take some samples of a turn that the server has found; its end commits."""
        if piece.start is not None:
            await self._tell(f"{_BUFFER}.speech_started", item_id=item.id, audio_start_ms=round(1000 * piece.start))
        await self._hear(item, piece.samples)
        if piece.end is not None:
            await self._tell(f"{_BUFFER}.speech_stopped", item_id=item.id, audio_end_ms=round(1000 * piece.end))
        if piece.end is not None and self._item is item:
            await self._commit({})

    async def _hear(self, item: _Item, content: bytes | Samples) -> None:
        """Give an item what follows; what is wrong with it ends the item."""
        try:
            await (item.stream.hear(content) if isinstance(content, bytes) else item.stream.take(content))
        except (InputError, ApiError) as error:
            self._item = None
            item.stream.fail(error)

    async def _commit(self, _: dict[str, Any]) -> None:
        item, self._item = self._item, None
        if item is None:
            code = "input_audio_buffer_commit_empty"
            raise ApiError(400, "nothing was appended since the last commit", code)
        item.stream.end()
        self._turns.reset()
        await self._tell(f"{_BUFFER}.committed", item_id=item.id, previous_item_id=self._last_id)
        self._last_id = item.id

    async def _clear(self, _: dict[str, Any]) -> None:
        item, self._item = self._item, None
        if item is not None:
            item.stream.close()
        self._turns.reset()
        await self._tell(f"{_BUFFER}.cleared")

    async def _begin(self) -> _Item:
        """A new item, as the session is now."""
        input = self._session.audio.input
        asked = input.transcription
        model = self._service.live(asked.model)
        words = "\n".join([asked.prompt, *asked.keywords])
        context = await run_in_threadpool(checked_context, model, words, "prompt")
        self._item = _Item(LiveStream(model, self._turns.format, context))
        self._open.append(self._item)
        self._items.put_nowait(self._item)
        return self._item

    def _is_waited_for(self) -> bool:
        """Whether the client may be silent, since what it committed is still being heard."""
        return any(item is not self._item for item in self._open)

    async def _tell_items(self) -> None:
        while (item := await self._items.get()) is not None:
            try:
                async for followed in item.stream.followed():
                    await self._tell_followed(item, followed)
            except ClientGone:
                pass  # or the item was cleared
            except Exception as error:
                problem = self._socket.problem(error).content["error"]
                await self._tell(f"{_TOLD}.failed", item_id=item.id, content_index=0, error=problem)
            finally:
                item.stream.close()
                self._open.remove(item)

    async def _tell_followed(self, item: _Item, followed: Followed) -> None:
        transcript, chunk = followed.transcript, followed.chunk
        about = {"item_id": item.id, "content_index": 0}
        if chunk is not None and (delta := unmarked(chunk.text)):
            await self._tell(f"{_TOLD}.delta", **about, delta=delta)
        # while more may come, the last segment is not yet whole
        settled = len(transcript.segments) - (chunk is not None)
        for number in range(item.told, settled):
            await self._tell(f"{_TOLD}.segment", **about, **_segment(number, transcript.segments[number]))
        item.told = max(item.told, settled)
        if chunk is None:
            await self._tell(f"{_TOLD}.completed", **about, **_whole(transcript))

    async def _tell(self, type: str, **content: Any) -> None:
        await self._socket.send(_event(type, **content))

    def _shown(self) -> dict[str, Any]:
        return {"id": self._id, "object": "realtime.transcription_session", **self._session.model_dump()}


def _decoded(audio: Any) -> bytes:
    try:
        return base64.b64decode(audio, validate=True)
    except (TypeError, ValueError):
        raise ApiError(400, "audio: must be text in base64", "invalid_value", "audio") from None


def _event(type: str, **content: Any) -> dict[str, Any]:
    return {"type": type, "event_id": _name("event"), **content}


def _name(kind: str) -> str:
    return f"{kind}_{uuid.uuid4().hex[:20]}"


def _merged(settings: dict[str, Any], changes: Any) -> Any:
    """Settings after an update, which names only what changes."""
    if not isinstance(changes, Mapping):
        return changes
    known = [(name, settings.get(name)) for name in changes]
    return {**settings, **{name: _merged(old if isinstance(old, dict) else {}, changes[name]) for name, old in known}}


def _segment(number: int, segment: Segment) -> dict[str, Any]:
    speaker = "?" if segment.speaker is None else segment.speaker
    return {"id": f"seg_{number}", **segment.record(), "speaker": speaker}


def _whole(transcript: Transcript) -> dict[str, Any]:
    usage = {"type": "duration", "seconds": round(transcript.seconds, 3)}
    return {"transcript": transcript.text, "usage": usage, "warnings": list(transcript.warnings)}
