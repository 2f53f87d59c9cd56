"""Generation of latents: at each step a row decides whether a latent follows, draws it, and reads it.

Rows are independent: each has its own noise and its own place in the cache, and a row that ends leaves the batch. So
batching does not change what a row generates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field, NonNegativeInt
from torch import Tensor

from latent.data.batch import GenerationPrompts, stacked
from latent.diffusion.sampler import RowNoise, SamplerSection
from s2s.decoding.base import Streamer
from s2s.registry import register_decoder


@dataclass(frozen=True)
class Frames:
    """The latents of one step.

    Args:
        rows: Rows that drew a latent, in the order of `latents`: indices into the prompts.
        latents: `(R, L)`, as the audio tokenizer decodes them.
        ended: Rows that ended before this step; True where the model ended them, False where the limit did.
    """

    rows: list[int]
    latents: Tensor
    ended: dict[int, bool]


@register_decoder("next_token_diffusion")
class NextTokenDiffusionDecoder(Streamer):
    """Draws latents until the model ends them."""

    class Config(SamplerSection):
        """Options of generation by next-token diffusion."""

        stop_threshold: float = Field(0.5, gt=0, le=1)
        """Probability of the end token, against the token for "a latent follows", at which generation ends."""
        min_frames: NonNegativeInt = 1
        """Minimum number of latents."""

    config: NextTokenDiffusionDecoder.Config

    @torch.inference_mode()
    def stream(self, model: Any, prompts: GenerationPrompts) -> Iterator[Frames]:
        """The latents that a LatentLM draws, step by step, until all rows have ended; prompts are on its device."""
        sampler = self.config.sampler(model)
        streams = 2 if sampler.guided else 1
        started = stacked(prompts.conditional, prompts.unconditional) if sampler.guided else prompts.conditional
        state = model.prefill(started, started.tokens.shape[1] + max(prompts.max_frames))
        device = state.hidden.device
        precision = torch.promote_types(state.hidden.dtype, torch.float32)
        noise = RowNoise(prompts.seeds, model.config.latent_size, device)
        legal = torch.tensor([prompts.latent_token, prompts.end_token], device=device)
        rows, temperatures, frame = list(range(len(prompts.seeds))), prompts.temperatures.unsqueeze(1), 0
        while rows:
            conditional, *unconditional = state.hidden.chunk(streams)
            ended = self._ended(model.logits(conditional, legal), frame, [prompts.max_frames[row] for row in rows])
            if ended:
                kept = [index for index in range(len(rows)) if index not in ended]
                everywhere = [index + stream * len(rows) for stream in range(streams) for index in kept]
                state.keep(torch.tensor(everywhere, dtype=torch.int64, device=device))
                noise.select(kept)
                temperatures = temperatures[kept]
                conditional, *unconditional = state.hidden.chunk(streams)
            finished = {rows[index]: by_model for index, by_model in ended.items()}
            rows = [row for index, row in enumerate(rows) if index not in ended]
            if not rows:
                yield Frames([], state.hidden.new_empty(0, model.config.latent_size), finished)
                return
            drawn = noise.draw().to(precision) * temperatures
            latents = sampler.sample(conditional, unconditional[0] if unconditional else None, drawn, noise)
            yield Frames(rows, model.denormalize(latents), finished)
            frame += 1
            model.append(state, model.next_inputs(latents.to(state.hidden.dtype), streams, prompts, rows, frame))

    def _ended(self, logits: Tensor, frame: int, max_frames: list[int]) -> dict[int, bool]:
        """Rows that end before this frame: True where the model ends them, False where the limit is reached."""
        if frame < self.config.min_frames:
            return {}
        by_model = (logits.float().softmax(-1)[:, 1] >= self.config.stop_threshold).tolist()
        limits = zip(by_model, max_frames, strict=True)
        return {row: ends for row, (ends, limit) in enumerate(limits) if ends or frame >= limit}
