"""Generation with VibeVoice: at each step a row draws a latent and hears it, or switches to another speaker.

    latent   draw a latent, decode it, encode the audio with the semantic encoder; both feed the next step
    end      the speaker ends; the histories of decoder and encoder are cleared
    start    another speaker begins; the unconditional stream is cleared
    stop     the row leaves the batch

The unconditional stream reads latents only. Both streams take a step in one batch, before it is known whether a latent
follows; where none does, the unconditional stream takes its step back. Rows are independent of each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import PositiveFloat
from torch import Tensor

from latent.data.batch import GenerationPrompts, stacked
from latent.decoding.audio import AudioChunk
from latent.diffusion.sampler import GuidedSampler, RowNoise, SamplerSection
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

    @torch.inference_mode()
    def stream(self, model: Any, prompts: GenerationPrompts, noise: RowNoise | None = None) -> Iterator[SpokenStep]:
        """The audio of a VibeVoice, one frame of each row at a time, until all rows have ended.

        Args:
            model: A VibeVoice.
            prompts: On the device of the model. `max_frames` counts tokens as well, so that every row ends.
            noise: Instead of noise from the seeds of the prompts.
        """
        language = model.language
        sampler = self.config.sampler(language)
        streams = len(sampler.streams)
        started = stacked(*(getattr(prompts, name) for name in sampler.streams))
        state = model.prefill(started, started.tokens.shape[1] + max(prompts.max_frames), streams)
        device = state.language.hidden.device
        noise = noise or RowNoise(prompts.seeds, language.config.latent_size, device)
        legal = torch.tensor(model.config.tokens.legal(), device=device)
        switches = language.embeddings(legal)
        rows, step = list(range(len(prompts.seeds))), 0
        while rows:
            choices = language.logits(state.hidden[0], legal).argmax(-1).tolist()
            tokens = {row: model.config.tokens.legal()[choice] for row, choice in zip(rows, choices, strict=True)}
            stopped = {row: choice == _STOP for row, choice in zip(rows, choices, strict=True)}
            ended = {row: stop for row, stop in stopped.items() if stop or step >= prompts.max_frames[row]}
            if ended:
                kept = [index for index, row in enumerate(rows) if row not in ended]
                rows, choices = [rows[index] for index in kept], [choices[index] for index in kept]
                state.keep(torch.tensor(kept, dtype=torch.int64, device=device))
                noise.select(kept)
            speaking = [index for index, choice in enumerate(choices) if choice == _LATENT]
            latents = self._draw(sampler, state, noise, speaking, prompts.temperatures[[rows[i] for i in speaking]])
            inputs = switches[choices]
            audio = latents.new_empty(0, model.acoustic.hop_length)
            if speaking:
                everyone = len(speaking) == len(rows)
                where = None if everyone else torch.tensor(speaking, device=device)
                audio, spoken = model.speak(state, latents.to(inputs.dtype), where)
                inputs = spoken if where is None else inputs.index_copy(0, where, spoken)
            yield SpokenStep([rows[index] for index in speaking], audio, ended, tokens, latents)
            if rows:
                if len(speaking) < len(rows):
                    chosen = torch.tensor(choices, device=device)
                    state.silence(chosen == _END)
                    state.turn_back(chosen != _LATENT, chosen == _START)
                language.append(state.language, inputs.repeat(streams, 1))
            step += 1

    def _draw(
        self, sampler: GuidedSampler, state: Any, noise: RowNoise, speaking: Sequence[int], temperatures: Tensor
    ) -> Tensor:
        """Latents `(R, L)` of the speaking rows, normalized, in at least float32."""
        hidden: list[Tensor] = [stream[speaking] for stream in state.hidden]
        precision = torch.promote_types(state.language.hidden.dtype, torch.float32)
        if not speaking:
            return torch.empty(0, sampler.head.latent_size, dtype=precision, device=state.language.hidden.device)
        source = noise.of(speaking)
        drawn = source.draw().to(precision) * temperatures.unsqueeze(1)
        return sampler.sample(hidden, drawn, source)
