"""The voice of released VibeVoice-Realtime weights: one speaker, by a preset that its makers prepared."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from latent.audio.files import AudioBytes, Source
from latent.data.speech_prompts import SpeechRequest
from latent.decoding.audio import AudioChunk
from latent.decoding.vibevoice_realtime import RealtimeDecoder, RealtimePrompt
from latent.models.checkpoints import load_realtime
from latent.models.vibevoice_realtime import VibeVoiceRealtime, VoicePreset
from latent.models.voice_presets import read_preset
from latent.synthesis.released import ReleasedVoice, TextEncoder, decoder_options, load_text_encoder, speakable
from latent.synthesis.voice import Take, TooLong, Turn, checked_noise, said_parts
from s2s.errors import InputError


class PresetPrompt(NamedTuple):
    """A preset as a voice prompt, and the hash of its file."""

    preset: VoicePreset
    digest: str


class RealtimeVoice(ReleasedVoice):
    """Speaks a text while it is read; each text by itself.

    Args:
        folder: The checkpoint.
        model: In evaluation mode.
        decoder: How latents are drawn.
        encode: The text tokenizer.
    """

    def __init__(self, folder: Path, model: VibeVoiceRealtime, decoder: RealtimeDecoder, encode: TextEncoder) -> None:
        super().__init__(folder, decoder, encode, model.language.config)
        self._model = model
        self.sample_rate: int = model.config.acoustic.sample_rate
        self.frame_rate = self.sample_rate / math.prod(model.config.acoustic.ratios)

    @classmethod
    def load(cls, folder: Path, tokenizer: str | None, device: torch.device, overrides: Iterable[str]) -> RealtimeVoice:
        """The voice of a checkpoint; see `VibeVoiceVoice.load`."""
        decoder = RealtimeDecoder(decoder_options(RealtimeDecoder.Config, overrides))
        encode = load_text_encoder(folder, tokenizer)
        model = load_realtime(str(folder), torch.bfloat16 if device.type == "cuda" else torch.float32)
        model.to(device).prepare()
        return cls(folder, model, decoder, encode)

    def request(
        self,
        id: str,
        text: str,
        speaker: str | None = None,
        prompt: PresetPrompt | None = None,
        seed: int = 0,
        temperature: float | None = None,
    ) -> SpeechRequest:
        text = speakable(text)
        if speaker is not None:
            self.check_speaker(speaker)
        usual = self._decoder.config.temperature
        seed, temperature = checked_noise(seed, usual if temperature is None else temperature)
        if prompt is None:
            raise InputError("a voice must be given: --voice with a preset of VibeVoice-Realtime (.pt or .safetensors)")
        tokens, expected = list(self._encode(f"{text}\n")), self.expected_frames(text)
        room = self.max_positions - len(tokens)
        if room < expected:
            raise TooLong(f"'text' is too long: {len(tokens)} tokens, the model has {self.max_positions} positions")
        most = self.most_frames(expected, room)
        return SpeechRequest(id, text, None, tokens, prompt, seed, temperature, expected, most)

    def takes(self, turns: Sequence[Turn], pause_seconds: float, temperature: float | None) -> Iterator[Take]:
        def request(turn: Turn) -> SpeechRequest:
            return self.request(turn.where, turn.text, turn.speaker, turn.prompt, turn.seed, temperature)

        for turn in turns:
            for part, made in said_parts(turn, request):
                yield Take(made, [part], pause_seconds if part.pause is None else part.pause)

    def prompt(self, recording: Source) -> PresetPrompt:
        """A preset from its file; recordings cannot be used, since the encoder was not released."""
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
