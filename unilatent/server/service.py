"""What the endpoints share: the models by name, the limits and the figures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from latent.audio.recording import Recording
from latent.recognition.transcript import Transcript
from latent.recognition.words import WordAligner, with_words
from s2s.registry import nearest
from unilatent.server.errors import ApiError
from unilatent.server.limits import Limits
from unilatent.server.metrics import Metrics
from unilatent.server.models import CaptionModel, RecognitionModel, ServedModel, SpeechModel, TextModel


class Service:
    """The models of a server.

    Args:
        models: With different names.
        limits: Limits of requests.
        metrics: Figures of the server.
        word_aligner: What finds when words are said, if anything does.
    """

    def __init__(
        self,
        models: Sequence[ServedModel],
        limits: Limits,
        metrics: Metrics,
        word_aligner: WordAligner | None = None,
    ) -> None:
        self.models = {model.name: model for model in models}
        self.limits, self.metrics = limits, metrics
        self.names = {
            name: model.name for model in models for name in (model.folder, str(Path(model.folder).resolve()))
        }
        self.word_aligner, self._aligning = word_aligner, asyncio.Lock()
        self.stopping = False

    async def with_words(self, transcript: Transcript, recording: Recording) -> Transcript:
        """A transcript with the times of its words; one recording is aligned after the other, beside the models."""
        assert self.word_aligner is not None, "the request was checked"
        async with self._aligning:
            return await run_in_threadpool(with_words, transcript, recording, self.word_aligner)

    def model(self, name: str) -> ServedModel:
        """The model of that name; ApiError, with the nearest name, if there is none."""
        if name not in self.models:
            found = nearest(name, self.models)
            raise ApiError(404, f"model: no model is called {name!r}{found}", "model_not_found", "model")
        return self.models[name]

    def speech(self, name: str) -> SpeechModel:
        """The voice of that name; ApiError if there is none."""
        model = self.model(name)
        if not isinstance(model, SpeechModel):
            raise _wrong_kind(model, "speak")
        return model

    def text(self, name: str) -> TextModel:
        """The generator of that name; ApiError if there is none."""
        model = self.model(name)
        if not isinstance(model, TextModel):
            raise _wrong_kind(model, "generate text")
        return model

    def captions(self, name: str) -> CaptionModel:
        """The writer of captions of that name; ApiError if there is none."""
        model = self.model(name)
        if not isinstance(model, CaptionModel):
            raise _wrong_kind(model, "write captions")
        return model

    def recognition(self, name: str) -> RecognitionModel:
        """The recognizer of that name; ApiError if there is none."""
        model = self.model(name)
        if not isinstance(model, RecognitionModel):
            raise _wrong_kind(model, "listen")
        return model

    def live(self, name: str | None) -> RecognitionModel:
        """The recognizer of that name, which follows streams; None is the only one. ApiError if there is none."""
        known = [model for model in self.models.values() if isinstance(model, RecognitionModel) and model.is_live]
        if name is not None:
            model = self.recognition(name)
            if not model.is_live:
                advice = "hears whole recordings only; send it to /v1/audio/transcriptions"
                raise ApiError(400, f"model: {name!r} {advice}", "wrong_kind", "model")
            return model
        if len(known) != 1:
            found = f"one of {', '.join(model.name for model in known)}" if known else "but none here follows streams"
            raise ApiError(400, f"model: must be given, {found}", "missing", "model")
        return known[0]

    @property
    def is_live(self) -> bool:
        """Whether a model follows recordings that are being made."""
        return any(isinstance(model, RecognitionModel) and model.is_live for model in self.models.values())

    def speech_models(self) -> list[SpeechModel]:
        """All voices."""
        return [model for model in self.models.values() if isinstance(model, SpeechModel)]

    def stop(self) -> None:
        """Take no more requests; what is begun goes on."""
        self.stopping = True
        for model in self.models.values():
            model.worker.stop()

    def close(self) -> None:
        """Stop, and wait for the workers."""
        self.stop()
        until = time.monotonic() + self.limits.stop_seconds
        for model in self.models.values():
            model.worker.join(max(0.0, until - time.monotonic()))


def _wrong_kind(model: ServedModel, asked: str) -> ApiError:
    return ApiError(400, f"model: {model.name!r} {model.does} and does not {asked}", "wrong_kind", "model")
