"""Generation with VibeVoice: at each step a row draws a latent and hears it, or switches to another speaker.

    latent   draw a latent, decode it, encode the audio with the semantic encoder; both feed the next step
    end      the speaker ends; the histories of decoder and encoder are cleared
    start    another speaker begins; the unconditional stream is cleared
    stop     the row leaves the batch

The unconditional stream reads latents only. Both streams take a step in one batch, before it is known whether a latent
follows; where none does, the unconditional stream takes its step back. Rows are independent of each other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import PositiveFloat
from torch import Tensor

from latent.data.batch import GenerationPrompts, stacked
from latent.decoding.audio import AudioChunk
from latent.diffusion.sampler import RowNoise, SamplerSection
from s2s.decoding.base import Streamer
from s2s.registry import register_decoder

_LATENT, _END, _START, _STOP = range(4)


@dataclass(frozen=True)
class SpokenStep(AudioChunk):
    """One step; `rows` and `audio` are those of the rows that drew a latent.

    Args:
        tokens: The token that each row in the batch chose.
        latents: The latents drawn, normalized, `(R, L)`.
    """

    tokens: dict[int, int]
    latents: Tensor


@register_decoder("vibevoice")
class VibeVoiceDecoder(Streamer):
    """Draws latents and decodes them until the model stops."""

    class Config(SamplerSection):
        """Options of generation with VibeVoice."""

        max_seconds: PositiveFloat | None = None
        """Maximum length of the audio, in seconds. None: twice what the text should take, and ten seconds."""

    config: VibeVoiceDecoder.Config

    def stream(self, model: Any, prompts: GenerationPrompts, noise: RowNoise | None = None) -> Iterator[SpokenStep]:
        """The audio of a VibeVoice, one frame of each row at a time, until all rows have ended.

        Args:
            model: A VibeVoice.
            prompts: On the device of the model. `max_frames` counts tokens as well, so that every row ends.
            noise: Instead of noise from the seeds of the prompts.
        """
        speaking = self.start(model)
        speaking.add(prompts, noise)
        while len(speaking):
            yield speaking.step()

    def start(self, model: Any) -> Speaking:
        """A batch without rows, for a VibeVoice."""
        return Speaking(model, self.config)


@dataclass
class _Row:
    """What a row is drawn by; `step` is the number of its next step."""

    key: int
    temperature: Tensor
    max_frames: int
    step: int = 0


class Speaking:
    """Rows that speak together, each as it would alone; rows enter and leave between two steps.

    A step first reads what the step before it chose, so that the caller has audio as soon as it is decoded.
    """

    @torch.inference_mode()
    def __init__(self, model: Any, config: VibeVoiceDecoder.Config) -> None:
        self._model, self._sampler = model, config.sampler(model.language)
        self._streams = len(self._sampler.streams)
        self._device = model.language.embeddings.weight.device
        self._legal = torch.tensor(model.config.tokens.legal(), device=self._device)
        self._switches: Tensor = model.language.embeddings(self._legal)
        self._next_key = 0
        self._rows: list[_Row] = []
        self._state: Any = None
        self._unread: tuple[Tensor, list[int]] | None = None
        self._noise: RowNoise

    def __len__(self) -> int:
        return len(self._rows)

    @torch.inference_mode()
    def add(self, prompts: GenerationPrompts, noise: RowNoise | None = None) -> list[int]:
        """Let rows enter; returns the keys that `SpokenStep` names them by. `noise`: for the first rows, see `stream`.

        Raises:
            InputError: see `LatentLM.prefill`.
        """
        started = stacked(*(getattr(prompts, name) for name in self._sampler.streams))
        state = self._model.prefill(started, started.tokens.shape[1] + max(prompts.max_frames), self._streams)
        if self._rows:
            self._read()
            self._state.add(state)
            self._noise.add(prompts.seeds)
        else:
            self._state = state
            size = self._model.language.config.latent_size
            self._noise = noise or RowNoise(prompts.seeds, size, self._device)
        keys = list(range(self._next_key, self._next_key + len(prompts.seeds)))
        self._next_key += len(keys)
        self._rows += [_Row(*row) for row in zip(keys, prompts.temperatures, prompts.max_frames, strict=True)]
        return keys

    @torch.inference_mode()
    def remove(self, keys: Collection[int]) -> None:
        """Let rows leave before they end."""
        self._read()
        self._leave([row.key in keys for row in self._rows])

    @torch.inference_mode()
    def step(self) -> SpokenStep:
        """The next frame of each row, or its switch, or its end; there must be a row."""
        self._read()
        choices = self._model.language.logits(self._state.hidden[0], self._legal).argmax(-1).tolist()
        legal = self._model.config.tokens.legal()
        tokens = {row.key: legal[choice] for row, choice in zip(self._rows, choices, strict=True)}
        over = [choice == _STOP or row.step >= row.max_frames for row, choice in zip(self._rows, choices, strict=True)]
        pairs = zip(self._rows, choices, over, strict=True)
        ended = {row.key: choice == _STOP for row, choice, is_over in pairs if is_over}
        choices = [choice for choice, is_over in zip(choices, over, strict=True) if not is_over]
        self._leave(over)
        speaking = [index for index, choice in enumerate(choices) if choice == _LATENT]
        audio, latents = self._speak(speaking, choices)
        for row in self._rows:
            row.step += 1
        return SpokenStep([self._rows[index].key for index in speaking], audio, ended, tokens, latents)

    def _speak(self, speaking: Sequence[int], choices: list[int]) -> tuple[Tensor, Tensor]:
        """Audio `(R, hop_length)` and latents `(R, L)` of the speaking rows; all rows have something to read then."""
        inputs = self._switches[choices]
        latents = self._draw(speaking)
        audio = latents.new_empty(0, self._model.acoustic.hop_length)
        if speaking:
            everyone = len(speaking) == len(self._rows)
            where = None if everyone else torch.tensor(speaking, device=self._device)
            audio, spoken = self._model.speak(self._state, latents.to(inputs.dtype), where)
            inputs = spoken if where is None else inputs.index_copy(0, where, spoken)
        self._unread = (inputs, choices) if self._rows else None
        return audio, latents

    def _draw(self, speaking: Sequence[int]) -> Tensor:
        """Latents `(R, L)` of the speaking rows, normalized, in at least float32."""
        precision = torch.promote_types(self._switches.dtype, torch.float32)
        if not speaking:
            return torch.empty(0, self._sampler.head.latent_size, dtype=precision, device=self._device)
        hidden: list[Tensor] = [stream[speaking] for stream in self._state.hidden]
        source = self._noise.of(speaking)
        temperatures = torch.stack([self._rows[index].temperature for index in speaking])
        return self._sampler.sample(hidden, source.draw().to(precision) * temperatures.unsqueeze(1), source)

    def _read(self) -> None:
        """Append what the last step chose."""
        if self._unread is None:
            return
        (inputs, choices), self._unread = self._unread, None
        if any(choice != _LATENT for choice in choices):
            chosen = torch.tensor(choices, device=self._device)
            self._state.silence(chosen == _END)
            self._state.turn_back(chosen != _LATENT, chosen == _START)
        self._model.language.append(self._state.language, inputs.repeat(self._streams, 1))

    def _leave(self, leaving: Sequence[bool]) -> None:
        """Drop rows."""
        if not any(leaving):
            return
        kept = [index for index, leaves in enumerate(leaving) if not leaves]
        if kept:
            self._state.keep(torch.tensor(kept, dtype=torch.int64, device=self._device))
            self._noise.select(kept)
        else:
            self._state = None  # with its memory
        self._rows = [self._rows[index] for index in kept]
