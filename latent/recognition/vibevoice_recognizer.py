"""VibeVoice-ASR: a whole recording in one pass, up to an hour, as segments with speakers and times."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from latent.audio.levels import TARGET_DBFS, Loudness
from latent.audio.recording import Recording
from latent.data.recognition_prompt import TURN_END, TURN_START, after_audio, before_audio
from latent.data.speech_prompts import derived_seed
from latent.decoding.text_writer import ReadPrompts
from latent.decoding.transcription import Dictated, TranscriptionDecoder
from latent.models.vibevoice_asr import VibeVoiceASR
from latent.nn.writing import TextState
from latent.recognition.answers import transcript_of
from latent.recognition.recognizer import RecognitionRequest
from latent.recognition.released import CHUNK_SECONDS, TEXT_END, ReleasedRecognizer
from latent.recognition.transcript import Transcript
from latent.text.text_encoder import TextEncoder
from s2s.errors import InputError

logger = logging.getLogger(__name__)

_TOKENS_PER_SECOND = 6
"""Of text, with times and speakers, as a rule."""
_LEAST_ROOM = 64
"""Positions that must be left for the text."""


class _Heard(NamedTuple):
    """A prompt that has been read, its recording's length and whether that is silent, and the most tokens after it."""

    state: TextState
    seconds: float
    is_silent: bool
    limit: int


class VibeVoiceRecognizer(ReleasedRecognizer):
    """Hears a recording at the loudness of the released code, then writes all of it down."""

    decoder_class, decoder_name = TranscriptionDecoder, "transcription"
    needed = (TURN_START, TURN_END)

    def __init__(self, folder: Path, model: VibeVoiceASR, decoder: TranscriptionDecoder, encoder: TextEncoder) -> None:
        super().__init__(folder, model, decoder, encoder)
        self._stopping = self._writer(TEXT_END, TURN_END)
        frames_per_second = model.sample_rate / model.hop_length
        self.max_seconds = self.max_positions / (frames_per_second + _TOKENS_PER_SECOND)

    @torch.inference_mode()
    def recognize(self, requests: Sequence[RecognitionRequest]) -> Iterator[tuple[int, Transcript]]:
        heard = [self._hear(request) for request in requests]
        ids = [request.id for request in requests]
        states, limits = [one.state for one in heard], [one.limit for one in heard]
        prompts = ReadPrompts.of(ids, states, limits, self._stopping.stops[0])
        texts: list[Dictated] = [text for (text,) in self._decoder(self._stopping, prompts)]
        for index, (request, one, text) in enumerate(zip(requests, heard, texts, strict=True)):
            yield index, self._transcript(request, one, text)

    def _transcript(self, request: RecognitionRequest, heard: _Heard, text: Dictated) -> Transcript:
        written = self._encoder.decode(text.tokens[: len(text.tokens) - text.loop])
        warnings = [*(["the recording is silent"] * heard.is_silent), *text.warnings]
        transcript = transcript_of(written, heard.seconds, request.language, warnings)
        for warning in transcript.warnings:
            logger.warning("%s: %s", request.id, warning)
        return transcript

    def _hear(self, request: RecognitionRequest) -> _Heard:
        """Read the prompt of a recording, chunk by chunk."""
        loudness = self._measure(request)
        seconds = loudness.num_samples / self.sample_rate
        before, after = self._tokens(before_audio()), self._tokens(after_audio(seconds, request.context))
        frames = math.ceil(loudness.num_samples / self._model.hop_length)
        prompt = len(before) + frames + len(after)
        room = self.max_positions - prompt
        if room < _LEAST_ROOM:
            needed = f"{seconds / 60:.1f} minutes need {prompt} positions and some for the text"
            advice = f"cut it into parts of at most {self.max_seconds / 60:.0f} minutes"
            raise InputError(f"{request.id}: {needed}, the model has {self.max_positions}; {advice}")
        limit = self._decoder.limit(seconds, room)
        state = self._stopping.empty(prompt + limit // 2)
        self._stopping.read(state, self._embed(before))
        for features in self._features(request.recording, np.float32(loudness.factor()), request.id):
            self._stopping.read(state, features)
        self._stopping.read(state, self._embed(after))
        return _Heard(state, seconds, math.isinf(loudness.dbfs), limit)

    def _measure(self, request: RecognitionRequest) -> Loudness:
        """The level of a recording, in a first pass over it."""
        loudness = Loudness()
        for samples in request.recording.blocks(self.sample_rate, self._chunk):
            loudness.hear(samples)
        gain = 20 * math.log10(loudness.factor())
        logger.info("%s: %.1f dBFS, brought to %g (%+.1f dB)", request.id, loudness.dbfs, TARGET_DBFS, gain)
        return loudness

    def _features(self, recording: Recording, factor: np.float32, id: str) -> Iterator[Tensor]:
        """Inputs of the language model `(1, F, hidden_size)` for each chunk of a recording."""
        like, hop, history = self._model.language.embeddings.weight, self._model.hop_length, None
        generator = torch.Generator().manual_seed(derived_seed(self._decoder.config.seed, id))
        scale = torch.randn(1, generator=generator)
        for samples in recording.blocks(self.sample_rate, self._chunk):
            chunk = np.pad(samples * factor, (0, -len(samples) % hop))
            (means, semantic), history = self._model.encode(torch.from_numpy(chunk)[None, None].to(like), history)
            yield self._model.embed(self._latents(means, scale, generator), semantic)

    def _latents(self, means: Tensor, scale: Tensor, generator: Generator) -> Tensor:
        if not self._decoder.config.noise:
            return means
        return self._model.draw(means, scale.to(means), torch.randn(means.shape, generator=generator).to(means))

    @property
    def _chunk(self) -> int:
        """Samples of a chunk, whole frames of them."""
        hop = self._model.hop_length
        return hop * max(1, int(CHUNK_SECONDS * self.sample_rate / hop))
