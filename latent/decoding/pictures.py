"""Drawing of pictures: their latents one after the other in raster order, or all at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from pydantic import Field, NonNegativeFloat

from latent.data.batch import GenerationPrompts
from latent.decoding.next_token_diffusion import Frames, NextTokenDiffusionDecoder
from latent.diffusion.sampler import RowNoise, SamplerSection
from s2s.decoding.base import Streamer
from s2s.registry import register_decoder


class PictureSamplerSection(SamplerSection):
    """Options of drawing pictures by diffusion."""

    num_inference_steps: int = Field(20, ge=1, le=1000)
    """Calls of the network for each latent, or for the whole picture if it is drawn at once."""
    guidance_scale: NonNegativeFloat = 2.0
    """Scale of classifier-free guidance; 1 is no guidance, and half the work."""


@register_decoder("raster_diffusion")
class RasterDiffusionDecoder(Streamer):
    """Draws latent after latent, as many as a picture has, with a LatentLM."""

    class Config(PictureSamplerSection):
        """Options of drawing in raster order."""

    config: RasterDiffusionDecoder.Config

    def stream(self, model: Any, prompts: GenerationPrompts) -> Iterator[Frames]:
        """The latents `(B, L)` of each place; prompts are on the model's device."""
        options = self.config.model_dump() | {"min_frames": max(prompts.max_frames)}
        yield from NextTokenDiffusionDecoder(NextTokenDiffusionDecoder.Config(**options)).stream(model, prompts)


@register_decoder("diffusion")
class DiffusionDecoder(Streamer):
    """Draws all latents of a picture at once, with a DiT."""

    class Config(PictureSamplerSection):
        """Options of drawing at once."""

    config: DiffusionDecoder.Config

    @torch.inference_mode()
    def stream(self, model: Any, prompts: GenerationPrompts) -> Iterator[Frames]:
        """One step: the latents of whole pictures, `(B, N · L)`; prompts are on the model's device."""
        sampler = self.config.sampler(model)
        conditions = [model.conditions(getattr(prompts, name)) for name in sampler.streams]
        size = max(prompts.max_frames) * model.config.latent_size
        noise = RowNoise(prompts.seeds, size, conditions[0].device)
        drawn = noise.draw() * prompts.temperatures.unsqueeze(1)
        latents = model.denormalize(sampler.sample(conditions, drawn, noise))
        yield Frames(list(range(len(prompts.seeds))), latents, {})
