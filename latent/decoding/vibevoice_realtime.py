"""Generation with VibeVoice-Realtime: some tokens of the text, some frames of speech, and so on, until it stops."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from latent.decoding.audio import AudioChunk
from latent.diffusion.sampler import RowNoise, SamplerSection
from s2s.decoding.base import Streamer
from s2s.registry import register_decoder


@dataclass(frozen=True)
class RealtimePrompt:
    """A text to speak.

    Args:
        preset: The voice (`latent.models.vibevoice_realtime.VoicePreset`), on the device of the model.
        text: Tokens; an iterator may still be waiting for later ones.
        max_frames: Maximum number of frames.
        frames_of_text: Maximum number of frames of the whole text, asked for when all of it has been read; None: no
            other maximum.
        seed: Of the noise.
        temperature: Factor of the noise that latents are drawn from.
    """

    preset: Any
    text: Iterable[int]
    max_frames: int
    seed: int
    temperature: float = 1.0
    frames_of_text: Callable[[], int] | None = None


@register_decoder("vibevoice_realtime")
class RealtimeDecoder(Streamer):
    """Speaks a text while it is still being written."""

    class Config(SamplerSection):
        """Options of generation with VibeVoice-Realtime."""

        num_inference_steps: int = Field(5, ge=1, le=1000)
        """Calls of the diffusion head for each latent."""
        guidance_scale: NonNegativeFloat = 1.5
        """Scale of classifier-free guidance; 1 is no guidance."""
        max_seconds: PositiveFloat | None = None
        """Maximum length of the audio, in seconds. None: twice what the text should take, and ten seconds."""
        text_window: PositiveInt = 5
        """Tokens of the text that are read at a time."""
        speech_window: PositiveInt = 6
        """Frames that are generated after each of these."""

    config: RealtimeDecoder.Config

    @torch.inference_mode()
    def stream(self, model: Any, prompts: RealtimePrompt, noise: RowNoise | None = None) -> Iterator[AudioChunk]:
        """The audio of a VibeVoiceRealtime, frame by frame; `noise` replaces noise from the seed of the prompt."""
        config, language = self.config, model.language
        sampler = config.sampler(language)
        state = model.prefill(prompts.preset, language.config.max_positions)
        noise = noise or RowNoise([prompts.seed], language.config.latent_size, state.speech.hidden.device)
        left, frame, stopped, most = iter(prompts.text), 0, False, prompts.max_frames
        room = language.config.max_positions
        while not stopped and frame < min(most, room):
            if window := list(islice(left, min(config.text_window, room - frame - 1))):
                model.read(state, window)
                room -= len(window)
            if len(window) < config.text_window and prompts.frames_of_text is not None:
                most = min(most, prompts.frames_of_text())
            for _ in range(min(config.speech_window, min(most, room) - frame)):
                hidden = state.speech.hidden.chunk(2)[: len(sampler.streams)]
                drawn = noise.draw().to(hidden[0].dtype) * prompts.temperature
                latent = sampler.sample(hidden, drawn, noise)
                yield AudioChunk([0], model.speak(state, latent), {})
                frame += 1
                stopped = bool(model.remember(state, latent) > 0)
                if stopped:
                    break
        yield AudioChunk([], latent.new_empty(0, 0), {0: stopped})
