"""Generation with VibeVoice-Realtime: some tokens of the text, some frames of speech, and so on, until it stops."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

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

    def stream(self, model: Any, prompts: RealtimePrompt, noise: RowNoise | None = None) -> Iterator[AudioChunk]:
        """The audio of a VibeVoiceRealtime, frame by frame; `noise` replaces noise from the seed of the prompt."""
        telling = self.start(model)
        telling.add([prompts], noise)
        while len(telling):
            yield telling.step()

    def start(self, model: Any) -> Telling:
        """A batch without rows, for a VibeVoiceRealtime."""
        return Telling(model, self.config)


@dataclass
class _Row:
    """An utterance.

    Args:
        key: Its name in chunks.
        left: The text that has not been read.
        most: Maximum number of frames.
        room: Positions of the model without those of the text so far.
        frame: Frames so far.
        window: Frames until more text is read.
    """

    key: int
    prompt: RealtimePrompt
    left: Iterator[int]
    most: int
    room: int
    frame: int = 0
    window: int = 0

    @property
    def is_over(self) -> bool:
        """Whether there is room for no other frame."""
        return not self.window and self.frame >= min(self.most, self.room)

    def read(self, config: RealtimeDecoder.Config) -> list[int]:
        """The next tokens of the text, and how many frames follow them."""
        tokens = list(islice(self.left, min(config.text_window, self.room - self.frame - 1)))
        self.room -= len(tokens)
        if len(tokens) < config.text_window and self.prompt.frames_of_text is not None:
            self.most = min(self.most, self.prompt.frames_of_text())
        self.window = max(0, min(config.speech_window, min(self.most, self.room) - self.frame))
        return tokens


class Telling:
    """Texts that a VibeVoiceRealtime speaks together; each sounds as it would alone.

    All read text at the same time, and so others may enter then: after every `speech_window` frames.
    """

    @torch.inference_mode()
    def __init__(self, model: Any, config: RealtimeDecoder.Config) -> None:
        self._model, self._config, self._sampler = model, config, config.sampler(model.language)
        self._device = model.language.embeddings.weight.device
        self._keys = count()
        self._waiting: list[tuple[_Row, Any]] = []
        self._rows: list[_Row] = []
        self._state: Any = None
        self._unread: Tensor | None = None
        self._given: RowNoise | None = None
        self._noise: RowNoise

    def __len__(self) -> int:
        return len(self._rows) + len(self._waiting)

    @torch.inference_mode()
    def add(self, prompts: Sequence[RealtimePrompt], noise: RowNoise | None = None) -> list[int]:
        """Let texts enter; returns the keys that chunks name them by. `noise`: for the first rows, see `stream`.

        Raises:
            InputError: see `VibeVoiceRealtime.prefill`.
        """
        room, self._given, added = self._model.language.config.max_positions, noise, []
        for prompt in prompts:
            known = isinstance(prompt.text, Sequence)
            needed = min(room, len(prompt.text) + prompt.max_frames) if known else room  # type: ignore[arg-type]
            state = self._model.prefill(prompt.preset, needed + self._config.text_window)  # as others may read it
            row = _Row(next(self._keys), prompt, iter(prompt.text), prompt.max_frames, room)
            added.append((row, state))
        self._waiting += added
        return [row.key for row, _ in added]

    @torch.inference_mode()
    def remove(self, keys: Collection[int]) -> None:
        """Let texts leave before they end."""
        self._waiting = [(row, state) for row, state in self._waiting if row.key not in keys]
        self._leave(keys)

    @torch.inference_mode()
    def step(self) -> AudioChunk:
        """The next frame of each text that has not ended; there must be one."""
        ended = self._remember()
        if not any(row.window for row in self._rows):
            self._enter()
            if self._rows:
                self._model.read(self._state, [row.read(self._config) for row in self._rows])
            ended |= self._end({row.key: False for row in self._rows if row.is_over})
        if not self._rows:
            return AudioChunk([], torch.empty(0, 0), ended)
        latents = self._draw()
        audio, self._unread = self._model.speak(self._state, latents), latents
        for row in self._rows:
            row.frame, row.window = row.frame + 1, row.window - 1
        return AudioChunk([row.key for row in self._rows], audio, ended)

    def _enter(self) -> None:
        """Let those that wait begin."""
        if not self._waiting:
            return
        seeds = [row.prompt.seed for row, _ in self._waiting]
        if not self._rows:
            self._noise = self._given or RowNoise(seeds, self._model.language.config.latent_size, self._device)
        else:
            self._noise.add(seeds)
        for row, state in self._waiting:
            if self._state is None:
                self._state = state
            else:
                self._state.add(state)
            self._rows.append(row)
        self._waiting, self._given = [], None

    def _draw(self) -> Tensor:
        """The next normalized latents, `(R, L)`."""
        hidden = self._state.hidden[: len(self._sampler.streams)]
        temperatures = hidden[0].new_tensor([[row.prompt.temperature] for row in self._rows])
        return self._sampler.sample(hidden, self._noise.draw().to(hidden[0].dtype) * temperatures, self._noise)

    def _remember(self) -> dict[int, bool]:
        """Read the latents of the last step; returns the rows that end, and whether the model ended them."""
        if self._unread is None:
            return {}
        latents, self._unread = self._unread, None
        stopped = (self._model.remember(self._state, latents) > 0).tolist()
        rows = zip(self._rows, stopped, strict=True)
        return self._end({row.key: is_stopped for row, is_stopped in rows if is_stopped or row.is_over})

    def _end(self, ended: dict[int, bool]) -> dict[int, bool]:
        self._leave(ended)
        return ended

    def _leave(self, keys: Collection[int]) -> None:
        """Drop rows."""
        kept = [index for index, row in enumerate(self._rows) if row.key not in keys]
        if len(kept) == len(self._rows):
            return
        places = torch.tensor(kept, dtype=torch.int64, device=self._device)
        self._rows = [self._rows[index] for index in kept]
        if self._unread is not None:
            self._unread = self._unread[places]
        if kept:
            self._state.keep(places)
            self._noise.select(kept)
        else:
            self._state = self._unread = None  # with their memory
