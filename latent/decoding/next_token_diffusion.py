"""Generation of latents: at each step a row decides whether a latent follows, draws it, and reads it again.

Rows are independent: each has its own noise and its own place in the cache, and one that ends leaves the batch. So a
row of a batch is what it would be alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt
from torch import Tensor

from latent.data.batch import GenerationPrompts, stacked
from latent.diffusion.sampler import GuidedSampler, RowNoise
from latent.diffusion.solver import SolverName, make_solver
from s2s.config import Section
from s2s.decoding.base import Streamer
from s2s.registry import register_decoder


@dataclass(frozen=True)
class Frames:
    """What one step brought.

    Args:
        rows: Rows that got a latent, in the order of `latents`: indices into the prompts.
        latents: `(R, L)`, as the audio tokenizer decodes them.
        ended: Rows that got none and get no more; True where the model said so, False where a row was cut.
    """

    rows: list[int]
    latents: Tensor
    ended: dict[int, bool]


@register_decoder("next_token_diffusion")
class NextTokenDiffusionDecoder(Streamer):
    """Draws latents until the model ends them."""

    class Config(Section):
        """Options of generation by next-token diffusion."""

        solver: SolverName = "dpm"
        """dpm: DPM-Solver++ 2M; dpm_heun and dpm_sde: its variants; ddim: its first order; ddpm: DDPM."""
        num_inference_steps: int = Field(10, ge=1, le=1000)
        """Calls of the diffusion head for each latent."""
        guidance_scale: NonNegativeFloat = 1.3
        """How much the difference to the unconditional stream counts; 1 is no guidance, and half the work."""
        stop_threshold: float = Field(0.5, gt=0, le=1)
        """Probability of the end, against "a latent follows", from which on a row ends."""
        temperature: NonNegativeFloat = 1.0
        """Factor of the noise that latents are drawn from, where a request names none. Below 1: less variation; small
        voices are clearest with 0."""
        min_frames: NonNegativeInt = 1
        """Latents before which no row ends."""

    config: NextTokenDiffusionDecoder.Config

    @torch.inference_mode()
    def stream(self, model: Any, prompts: GenerationPrompts) -> Iterator[Frames]:
        """Latents as they are drawn, step by step, until all rows have ended.

        Args:
            model: A LatentLM.
            prompts: On the device of the model.
        """
        sampler = self._sampler(model)
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

    def _sampler(self, model: Any) -> GuidedSampler:
        config = self.config
        solver = make_solver(config.solver, model.schedule, config.num_inference_steps, model.config.prediction)
        return GuidedSampler(model.head, solver, config.guidance_scale)

    def _ended(self, logits: Tensor, frame: int, max_frames: list[int]) -> dict[int, bool]:
        """Rows that end before this frame: True where the model says so, False where the limit is reached."""
        if frame < self.config.min_frames:
            return {}
        says = (logits.float().softmax(-1)[:, 1] >= self.config.stop_threshold).tolist()
        limited = (frame >= most for most in max_frames)
        return {row: said for row, (said, cut) in enumerate(zip(says, limited, strict=True)) if said or cut}
