"""The voice of released VibeVoice-Realtime weights: one speaker, by a preset that its makers prepared."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from latent.audio.files import AudioBytes, Source
from latent.data.speech_prompts import SpeechRequest
from latent.decoding.audio import AudioChunk
from latent.decoding.vibevoice_realtime import RealtimeDecoder, RealtimePrompt
from latent.models.checkpoints import load_realtime
from latent.models.vibevoice_realtime import VibeVoiceRealtime, VoicePreset
from latent.models.voice_presets import read_preset
from latent.synthesis.released import ReleasedVoice, speakable
from latent.synthesis.voice import TooLong
from latent.text.text_encoder import TextEncoder
from s2s.errors import InputError


class PresetPrompt(NamedTuple):
    """A preset as a voice prompt, and the hash of its file."""

    preset: VoicePreset
    digest: str


class RealtimeVoice(ReleasedVoice):
    """Speaks each text by itself, while it is read."""

    decoder_class, load_weights = RealtimeDecoder, staticmethod(load_realtime)

    def __init__(self, folder: Path, model: VibeVoiceRealtime, decoder: RealtimeDecoder, encode: TextEncoder) -> None:
        super().__init__(folder, model, decoder, encode)
        self.sample_rate = model.config.acoustic.sample_rate
        self.frame_rate = self.sample_rate / math.prod(model.config.acoustic.ratios)

    def _tokenized(self, request: SpeechRequest) -> SpeechRequest:
        text = speakable(request.text)
        if request.voice is None:
            raise InputError("a voice must be given: --voice with a preset of VibeVoice-Realtime (.pt or .safetensors)")
        tokens, expected = list(self._encode(f"{text}\n")), self.expected_frames(text)
        room = self.max_positions - len(tokens)
        if room < expected:
            raise TooLong(f"'text' is too long: {len(tokens)} tokens, the model has {self.max_positions} positions")
        most = self.most_frames(expected, room)
        return replace(request, tokens=tokens, expected_frames=expected, max_frames=most)

    def prompt(self, recording: Source) -> PresetPrompt:
        """A preset from its file; a recording cannot be one, since the encoder was not released."""
        content = recording.getvalue() if isinstance(recording, AudioBytes) else Path(recording).read_bytes()
        weight = self._model.language.embeddings.weight
        preset = read_preset(content, str(recording), weight.device, weight.dtype)
        return PresetPrompt(preset, hashlib.sha256(content).hexdigest())

    def batches(self, requests: Sequence[SpeechRequest], max_rows: int) -> Iterator[list[int]]:
        """One by one: the model takes no more."""
        yield from ([index] for index in range(len(requests)))

    def generate(self, requests: Sequence[SpeechRequest], chunk_frames: int) -> Iterator[AudioChunk]:
        (request,) = requests
        preset = request.voice.preset
        prompt = RealtimePrompt(preset, request.tokens, request.max_frames, request.seed, request.temperature)
        yield from self._decoder.stream(self._model, prompt)
